package conn

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"
)

// newBuilder returns the command builder for a mode. rueidis only gives out a
// builder with a client, and a client for a cluster only once it is connected;
// a lazy Client needs one before. So a client is made that talks to a few fixed
// replies in memory, and only its builder, a plain value, is kept.
func newBuilder(mode Mode) (rueidis.Builder, error) {
	opt := rueidis.ClientOption{
		InitAddress:       []string{"builder:0"},
		DisableCache:      true,
		ForceSingleClient: mode != ModeCluster,
		// No bigger than the replies below: this is thrown away at once.
		RingScaleEachConn: 1, ReadBufferEachConn: 1 << 10, WriteBufferEachConn: 1 << 10, BlockingPoolSize: 1,
		DialCtxFn: func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
			if mode != ModeCluster {
				return nil, errors.New("no connection is needed")
			}
			ours, theirs := net.Pipe()
			go replyAsCluster(theirs)
			return ours, nil
		},
	}
	client, err := rueidis.NewClient(opt)
	if client == nil {
		return rueidis.Builder{}, fmt.Errorf("conn: cannot make a command builder: %w", err)
	}
	b := client.B()
	client.Close()
	return b, nil
}

// replyAsCluster answers HELLO and CLUSTER SLOTS as a cluster of one node
// would, and everything else with OK, until the other side closes.
func replyAsCluster(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var count int
		if _, err := fmt.Sscanf(lines.Text(), "*%d", &count); err != nil {
			return
		}
		args := make([]string, count)
		for i := range args {
			lines.Scan() // the length
			if !lines.Scan() {
				return
			}
			args[i] = strings.ToUpper(lines.Text())
		}
		reply := "+OK\r\n"
		switch args[0] {
		case "HELLO":
			reply = "%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"
		case "CLUSTER":
			reply = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$7\r\nbuilder\r\n:0\r\n"
		}
		// A pipe has no buffer. This does not block for ever, as rueidis writes
		// its commands at once, the scanner takes them in one Read, and then
		// rueidis reads.
		if _, err := conn.Write([]byte(reply)); err != nil {
			return
		}
	}
}
