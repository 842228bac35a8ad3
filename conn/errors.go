package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/rueidis"
)

// The errors that a call can fail with, to be told apart with errors.Is. One
// error may match several: a write that timed out matches ErrTimeout,
// ErrUnknownOutcome and context.DeadlineExceeded.
var (
	// ErrClosed is returned by every call on a Client after Close.
	ErrClosed = errors.New("conn: client is closed")
	// ErrNotConnected is returned when the command was not sent, because no
	// connection could be made. What is known of the reason is wrapped.
	ErrNotConnected = errors.New("conn: not connected")
	// ErrTimeout is returned when the deadline of the call, or else
	// Config.CommandTimeout, passed. context.DeadlineExceeded matches too.
	ErrTimeout = errors.New("conn: timed out")
	// ErrUnknownOutcome is returned when a write was, or may have been, sent
	// and its reply did not arrive: it may have been applied or not.
	ErrUnknownOutcome = errors.New("conn: outcome unknown")

	// ErrConnectionLost is returned when a connection broke under a call. A
	// read that was not tried again, or not often enough, is ErrNotConnected as
	// well; a write is ErrUnknownOutcome.
	ErrConnectionLost = errors.New("conn: connection lost")

	// ErrRefused is returned when a server's port is closed.
	ErrRefused = errors.New("conn: connection refused")
	// ErrDNS is returned when a host name cannot be resolved.
	ErrDNS = errors.New("conn: host not found")
	// ErrTLS is returned when the TLS handshake fails, say because the
	// certificate is not for that host, is expired, or was not signed by a
	// known authority, or because the server wants a client certificate.
	ErrTLS = errors.New("conn: TLS handshake failed")
	// ErrMaxClients is returned when the server has too many clients already.
	ErrMaxClients = errors.New("conn: server has too many clients")
	// ErrWrongMode is returned when a cluster node is used as a standalone
	// server, or the other way round, or a data node as a Sentinel.
	ErrWrongMode = errors.New("conn: server is of another mode")

	// ErrAuth is returned when user name or password are wrong or missing.
	ErrAuth = errors.New("conn: authentication failed")
	// ErrPermission is returned when the ACL of the user forbids the command,
	// the key or the channel.
	ErrPermission = errors.New("conn: permission denied")
	// ErrReadOnly is returned for a write that reached a replica.
	ErrReadOnly = errors.New("conn: server is a read-only replica")
	// ErrOutOfMemory is returned for a write when maxmemory is reached.
	ErrOutOfMemory = errors.New("conn: server is out of memory")
	// ErrLoading is returned while the server loads its data.
	ErrLoading = errors.New("conn: server is loading its data")
	// ErrBusy is returned while a script or function blocks the server.
	ErrBusy = errors.New("conn: server is busy with a script")
	// ErrMasterDown is returned by a replica that lost its primary and may not
	// serve stale data.
	ErrMasterDown = errors.New("conn: replica lost its primary")
	// ErrNoReplicas is returned for a write when fewer replicas are connected
	// than min-replicas-to-write asks for.
	ErrNoReplicas = errors.New("conn: not enough replicas")
	// ErrPersistence is returned for a write while the server cannot save to
	// its disk (MISCONF).
	ErrPersistence = errors.New("conn: server cannot persist")
	// ErrClusterDown is returned when the cluster does not serve the slot.
	ErrClusterDown = errors.New("conn: cluster is down")
	// ErrTryAgain is Redis' TRYAGAIN: returned for several keys of a slot that
	// is being moved. What else may be tried again is what Retry says.
	ErrTryAgain = errors.New("conn: slot is being moved")
	// ErrCrossSlot is returned for keys of different slots in one command or
	// script.
	ErrCrossSlot = errors.New("conn: keys are not of one slot")
	// ErrWrongType is returned when the key holds another kind of value.
	ErrWrongType = errors.New("conn: key holds another type")

	// ErrInvalidArgument matches every ArgumentError.
	ErrInvalidArgument = errors.New("conn: invalid argument")
)

// ArgumentError is returned for bad input, before anything is sent. It matches
// ErrInvalidArgument.
type ArgumentError struct {
	Name    string // of the argument, field or variable
	Problem string // what is wrong with it, and what is allowed
}

func (e *ArgumentError) Error() string { return "conn: " + e.Name + ": " + e.Problem }

// Is reports that the error is an ErrInvalidArgument.
func (e *ArgumentError) Is(target error) bool { return target == ErrInvalidArgument }

// Error is what a failed call returns. Match it with errors.Is and the
// sentinels of this package; errors.As finds the *rueidis.RedisError in it
// where the server answered with an error.
type Error struct {
	Op   string // the command ("GET") or script; never its arguments
	Addr string // the server, where one is known to be at fault
	// Kinds are the sentinels that describe the error, the main one first. It
	// is empty where the server answered with an error that has none.
	Kinds []error
	Err   error // the cause; nil where Kinds say it all
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("conn: ")
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	for i, k := range e.Kinds {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.TrimPrefix(k.Error(), "conn: "))
	}
	if e.Addr != "" {
		if len(e.Kinds) > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "(%s)", e.Addr)
	}
	if e.Err != nil {
		if len(e.Kinds) > 0 || e.Addr != "" {
			b.WriteString(": ")
		}
		b.WriteString(strings.TrimPrefix(e.Err.Error(), "conn: "))
	}
	return b.String()
}

// Is reports that a time-out of any kind is a context.DeadlineExceeded, also one
// that the network found first.
func (e *Error) Is(target error) bool {
	return target == context.DeadlineExceeded && slices.Contains(e.Kinds, ErrTimeout)
}

// Unwrap returns the kinds and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return e.Kinds
	}
	return append(e.Kinds[:len(e.Kinds):len(e.Kinds)], e.Err)
}

// RetryClass says whether trying a failed call again can help.
type RetryClass int

// The answers of Retry.
const (
	// RetryNo means that the same call will fail in the same way, until
	// somebody changes the arguments, the configuration or the server.
	RetryNo RetryClass = iota
	// RetryOK means that nothing was applied and that trying again after a
	// pause may succeed.
	RetryOK
	// RetryIfIdempotent means that trying again may succeed, and that the
	// call may already have been applied: try again only what may be applied
	// twice.
	RetryIfIdempotent
)

// String returns "no", "ok" or "if idempotent".
func (r RetryClass) String() string {
	switch r {
	case RetryNo:
		return "no"
	case RetryOK:
		return "ok"
	case RetryIfIdempotent:
		return "if idempotent"
	}
	return "unknown"
}

// Retry says whether trying again can help after err, an error of this package
// or of a capability built on it. For nil it is RetryNo.
func Retry(err error) RetryClass {
	if errors.Is(err, ErrUnknownOutcome) {
		return RetryIfIdempotent
	}
	for _, permanent := range []error{ErrAuth, ErrTLS, ErrPermission, ErrWrongMode, ErrClosed} {
		if errors.Is(err, permanent) { // beside ErrNotConnected, these decide
			return RetryNo
		}
	}
	for _, k := range []error{
		ErrNotConnected, ErrConnectionLost, ErrTimeout, ErrRefused, ErrDNS, ErrMaxClients, ErrReadOnly, ErrOutOfMemory, ErrLoading, ErrBusy,
		ErrMasterDown, ErrNoReplicas, ErrPersistence, ErrClusterDown, ErrTryAgain,
	} {
		if errors.Is(err, k) {
			return RetryOK
		}
	}
	return RetryNo
}

// replyKinds maps the first word of an error reply to its sentinel.
var replyKinds = map[string]error{
	"WRONGPASS": ErrAuth, "NOAUTH": ErrAuth, "NOPERM": ErrPermission, "READONLY": ErrReadOnly, "OOM": ErrOutOfMemory,
	"LOADING": ErrLoading, "BUSY": ErrBusy, "MASTERDOWN": ErrMasterDown, "NOREPLICAS": ErrNoReplicas,
	"MISCONF": ErrPersistence, "CLUSTERDOWN": ErrClusterDown, "TRYAGAIN": ErrTryAgain, "CROSSSLOT": ErrCrossSlot,
	"WRONGTYPE": ErrWrongType, "DENIED": ErrPermission, "MOVED": ErrWrongMode, "ASK": ErrWrongMode,
}

// kindOfReply returns the sentinel of an error reply, or nil. rueidis takes
// "ERR " off the text. Scripts pass on the errors of what they call with the
// code in front, so that they need no case of their own.
func kindOfReply(msg string) error {
	msg = strings.TrimPrefix(msg, "ERR ")
	word, _, _ := strings.Cut(msg, " ")
	if k := replyKinds[word]; k != nil {
		return k
	}
	switch {
	case strings.HasPrefix(msg, "max number of clients"):
		return ErrMaxClients
	case strings.HasPrefix(msg, "AUTH "), strings.HasPrefix(msg, "Client sent AUTH, but no password"), strings.HasPrefix(msg, "invalid password"):
		return ErrAuth
	case strings.Contains(msg, "cluster support disabled"), strings.HasPrefix(msg, "unknown command 'SENTINEL'"):
		return ErrWrongMode
	}
	return nil
}

// kindsOf returns the sentinels for err, which came from rueidis, the network
// or a server.
func kindsOf(err error) []error {
	var (
		known  *Error
		reply  *rueidis.RedisError
		dns    *net.DNSError
		netErr net.Error
	)
	switch {
	case errors.As(err, &known):
		return known.Kinds
	case errors.As(err, &reply):
		if k := kindOfReply(reply.Error()); k != nil {
			return []error{k}
		}
		return nil
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return []error{ErrTimeout}
	case errors.As(err, &dns):
		return []error{ErrDNS}
	case isTLS(err):
		return []error{ErrTLS}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return []error{ErrRefused} // ENOENT: the socket's path does not exist
	case errors.As(err, &netErr) && netErr.Timeout():
		return []error{ErrTimeout}
	}
	return nil
}

// WrapError gives an error of the raw client (see Raw) the form of this
// package's: an *Error with the operation and the sentinels that it deserves.
// write says that the operation may have changed something, so that an error
// without a reply is ErrUnknownOutcome. Nil, rueidis' nil reply and an *Error
// with an operation of its own stay as they are.
func (c *Client) WrapError(op string, write bool, err error) error {
	var known *Error
	if err == nil || (errors.As(err, &known) && known.Op != "") {
		return err
	}
	return c.callError(op, write, err)
}

// callError makes the error of a call out of what rueidis returned.
func (c *Client) callError(op string, write bool, err error) error {
	if rueidis.IsRedisNil(err) {
		return err // not a failure: rueidis.IsRedisNil must go on to match
	}
	if reply, ok := rueidis.IsRedisErr(err); ok {
		e := &Error{Op: op, Err: c.explainReply(reply)}
		if k := kindOfReply(reply.Error()); k != nil {
			e.Kinds = []error{k}
		}
		return e
	}
	var known *Error
	switch {
	case errors.As(err, &known) && errors.Is(known, ErrNotConnected):
		return &Error{Op: op, Addr: known.Addr, Kinds: known.Kinds, Err: known.Err}
	case errors.Is(err, rueidis.ErrClosing):
		if c.closing.Load() {
			kinds := []error{ErrClosed}
			if write {
				kinds = append(kinds, ErrUnknownOutcome) // Close cut it off
			}
			return &Error{Op: op, Kinds: kinds}
		}
		// A Sentinel switch closes the old primary's connection.
		return &Error{Op: op, Kinds: lostKinds(write), Err: err}
	case errors.Is(err, rueidis.ErrNoSlot):
		return &Error{Op: op, Kinds: []error{ErrClusterDown}, Err: err}
	}
	e := &Error{Op: op, Addr: c.onlyAddr(), Kinds: kindsOf(err), Err: err}
	if known != nil {
		e.Addr, e.Err = known.Addr, known.Err
	}
	switch {
	case errors.Is(err, ErrConnectionLost), len(e.Kinds) == 0 && isConnLoss(err):
		e.Kinds = lostKinds(write)
	case write:
		e.Kinds = append(e.Kinds, ErrUnknownOutcome)
	}
	return e
}

// onlyAddr returns the address of the server where there is only one.
func (c *Client) onlyAddr() string {
	if c.cfg.mode == ModeStandalone {
		return c.cfg.Addrs[0]
	}
	return ""
}

// lostKinds describes a call whose connection broke.
func lostKinds(write bool) []error {
	if write {
		return []error{ErrUnknownOutcome, ErrConnectionLost}
	}
	return []error{ErrNotConnected, ErrConnectionLost}
}

// explainReply adds to a server's error what the configuration has to do with
// it, and takes away what must not be shown.
func (c *Client) explainReply(reply *rueidis.RedisError) error {
	text := reply.Error()
	switch {
	case strings.HasPrefix(text, "NOAUTH") && c.cfg.Password == "" && c.cfg.Credentials == nil:
		return fmt.Errorf("the server wants a password, and none is configured (Config.Password): %w", reply)
	case strings.HasPrefix(text, "unknown command 'SENTINEL'"):
		return errors.New("the server is no Sentinel, but SentinelMaster is set: Config.Addrs must be the Sentinels', whose port is usually 26379")
	case strings.HasPrefix(text, "No such master with that name"):
		return fmt.Errorf("the Sentinels know no primary %q (Config.SentinelMaster): %w", truncate(c.cfg.SentinelMaster), reply)
	}
	if shown := c.redact(text); shown != text {
		return errors.New(shown)
	}
	return reply
}

// isConnLoss reports whether err says that a connection broke.
func isConnLoss(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op)
}

// redact removes from a server's text what must not be shown: what it repeats of
// the command (one that does not know HELLO answers with the password), and our
// passwords wherever they are.
func (c *core) redact(text string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	for _, secret := range []string{c.cfg.Password, c.cfg.SentinelPassword} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
