package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports come from below the range that Linux gives to outgoing connections.
// From inside it a client that redials a killed server could be given the
// server's own port as its source: it would connect to itself, or keep the
// server from coming back.
const (
	minPort = 12000
	maxPort = 32000
)

// A port is a TCP port on 127.0.0.1 that is this process's until it is
// released, whether something listens there or not, so that a server comes back
// at the address it had. Processes that use this package keep out of each
// other's way by holding the UDP port of the same number, which Redis never uses
// and the kernel frees when a process dies.
type port struct {
	number int
	hold   net.PacketConn
}

func reservePort() (*port, error) {
	for range 200 {
		n := minPort + rand.IntN(maxPort-minPort)
		address := "127.0.0.1:" + strconv.Itoa(n)
		hold, err := net.ListenPacket("udp4", address)
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp4", address)
		if err != nil {
			_ = hold.Close()
			continue
		}
		_ = probe.Close()
		return &port{number: n, hold: hold}, nil
	}
	return nil, errors.New("redistest: no free port on 127.0.0.1 in 200 tries")
}

func (p *port) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }

func (p *port) release() {
	if p != nil {
		_ = p.hold.Close()
	}
}
