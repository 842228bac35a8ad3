package redistest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// A ReplyError is an error that the server replied with, such as
// "WRONGPASS invalid username-password pair or user is disabled.".
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// defaultDoTimeout ends a control call whose context has no deadline.
const defaultDoTimeout = 10 * time.Second

// A Conn is a plain connection to a server, for control traffic: it shares no
// code with the library under test, so neither can hide the other's faults. It
// speaks RESP2, knows nothing of redirections and repeats nothing. Not safe for
// concurrent use.
type Conn struct {
	nc net.Conn
	r  *bufio.Reader
}

// dial connects to addr ("host:port", or the path of a Unix socket).
func dial(ctx context.Context, addr string, config *tls.Config) (*Conn, error) {
	network := "tcp"
	if addr != "" && addr[0] == '/' {
		network = "unix"
	}
	ctx, cancel := context.WithTimeout(ctx, defaultDoTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		config = config.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secure := tls.Client(nc, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, err
		}
		nc = secure
	}
	return newConn(nc), nil
}

func newConn(nc net.Conn) *Conn { return &Conn{nc: nc, r: bufio.NewReader(nc)} }

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Do sends one command and returns its reply: a string, an int64, nil, or a
// []any of these. An error reply is a [ReplyError]. Without a deadline in ctx it
// ends after 10 seconds. After any other error the connection is of no use.
func (c *Conn) Do(ctx context.Context, args ...any) (any, error) {
	if err := c.Send(ctx, args...); err != nil {
		return nil, err
	}
	return c.Receive(ctx)
}

// Send sends one command without waiting for its reply.
func (c *Conn) Send(ctx context.Context, args ...any) error {
	defer c.arm(ctx)()
	b := append([]byte{'*'}, strconv.Itoa(len(args))...)
	b = append(b, "\r\n"...)
	for _, arg := range args {
		var s string
		switch v := arg.(type) {
		case string:
			s = v
		case []byte:
			s = string(v)
		default:
			s = fmt.Sprint(v)
		}
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, "\r\n"...)
		b = append(b, s...)
		b = append(b, "\r\n"...)
	}
	_, err := c.nc.Write(b)
	return ctxError(ctx, err)
}

// Receive waits for the next reply, or message of a subscription.
func (c *Conn) Receive(ctx context.Context) (any, error) {
	defer c.arm(ctx)()
	reply, err := c.read()
	if err != nil {
		return nil, ctxError(ctx, err)
	}
	if e, ok := reply.(ReplyError); ok {
		return nil, e
	}
	return reply, nil
}

// arm makes ctx end what the connection is doing, and returns the undoing.
func (c *Conn) arm(ctx context.Context) (disarm func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultDoTimeout)
	}
	_ = c.nc.SetDeadline(deadline)
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-cut // or it would cut off the next call
		}
	}
}

// ctxError makes an I/O error that ctx caused match ctx's.
func ctxError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	var timeout net.Error
	if _, ok := ctx.Deadline(); ok && errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w (%w)", context.DeadlineExceeded, err)
	}
	return err
}

// read reads one RESP2 value. Errors inside arrays stay values.
func (c *Conn) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("redistest: malformed reply %q", line)
	}
	kind, text := line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		return text, nil
	case '-':
		return ReplyError(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("redistest: malformed reply %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case (kind == '$' || kind == '*') && n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return nil, err
		}
		return string(b[:n]), nil
	case kind == '*':
		values := make([]any, n)
		for i := range values {
			if values[i], err = c.read(); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	return nil, fmt.Errorf("redistest: unknown reply %q", line)
}
