package conn

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"
)

// peer is the other side of a connection for what a real server cannot be made
// to do. Everything that a real server does is tested against one, in
// integration.
type peer struct {
	addr  string
	ln    net.Listener
	reply func(args []string) string // in RESP; or hangUp, or noReply

	mu    sync.Mutex
	cmds  []string // in upper case, as received
	conns []net.Conn
	count int
	wg    sync.WaitGroup
}

const (
	hangUp  = "\x00hang up"
	noReply = "\x00"

	helloReply = "%4\r\n$7\r\nversion\r\n$5\r\n8.0.0\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
)

// newPeer starts a peer that replies as reply says, or where that is nil or
// returns an empty string, as a healthy server would.
func newPeer(t *testing.T, reply func(args []string) string) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{addr: ln.Addr().String(), ln: ln, reply: reply}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *peer) close() {
	_ = p.ln.Close()
	p.cut()
	p.wg.Wait()
}

// cut closes every connection.
func (p *peer) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *peer) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.count++
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.wg.Go(func() { defer c.Close(); p.serve(c) })
	}
}

func (p *peer) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.cmds = append(p.cmds, strings.ToUpper(strings.Join(args, " ")))
		p.mu.Unlock()
		reply := ""
		if p.reply != nil {
			reply = p.reply(args)
		}
		switch {
		case reply == noReply:
			continue
		case strings.HasSuffix(reply, hangUp):
			_, _ = io.WriteString(c, strings.TrimSuffix(reply, hangUp))
			return
		case reply != "":
		case args[0] == "HELLO":
			reply = helloReply
		case args[0] == "PING":
			reply = "+PONG\r\n"
		default:
			reply = "+OK\r\n"
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// received returns the commands that came, but for the handshake's and probes.
func (p *peer) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.cmds), func(s string) bool {
		word, _, _ := strings.Cut(s, " ")
		return word == "HELLO" || word == "CLIENT" || word == "PING"
	})
}

func (p *peer) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readLength(r, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func readLength(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q does not begin with %c", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// replyError returns the error that rueidis makes of an error reply.
func replyError(t *testing.T, text string) *rueidis.RedisError {
	t.Helper()
	p := newPeer(t, func(args []string) string {
		if args[0] == "GET" {
			return "-" + text + "\r\n"
		}
		return ""
	})
	raw, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{p.addr}, ForceSingleClient: true, DisableCache: true, DisableRetry: true, PipelineMultiplex: -1,
		RingScaleEachConn: 1, ReadBufferEachConn: 1 << 12, WriteBufferEachConn: 1 << 12,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	reply, ok := rueidis.IsRedisErr(raw.Do(t.Context(), raw.B().Get().Key("k").Build()).Error())
	if !ok {
		t.Fatalf("%q is no error reply", text)
	}
	return reply
}
