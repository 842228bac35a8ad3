package conn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/rueidis"
)

// allSentinels, on which the assertions of this package rest, is complete.
func TestSentinelsAreListed(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(node ast.Node) bool {
			if v, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
				n++
			}
			return true
		})
	}
	if n != len(allSentinels) {
		t.Errorf("the package has %d sentinels, allSentinels %d", n, len(allSentinels))
	}
	for _, e := range allSentinels {
		if !strings.HasPrefix(e.Error(), "conn: ") {
			t.Errorf("%q does not say where it is from", e)
		}
	}
}

// The texts are those that Redis 7.0 to 8.0 and Valkey 8.1 send.
var replies = []struct {
	text string
	kind error
}{
	{"WRONGPASS invalid username-password pair or user is disabled.", ErrAuth},
	{"NOAUTH Authentication required.", ErrAuth},
	{"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time", ErrAuth},
	{"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?", ErrAuth},
	{"ERR Client sent AUTH, but no password is set", ErrAuth},
	{"ERR invalid password", ErrAuth},
	{"NOPERM User u has no permissions to run the 'get' command", ErrPermission},
	{"NOPERM No permissions to access a key", ErrPermission},
	{"NOPERM ACL failure in script: No permissions to access a key script: 1234, on @user_script:1.", ErrPermission},
	{"DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.", ErrPermission},
	{"READONLY You can't write against a read only replica.", ErrReadOnly},
	{"READONLY You can't write against a read only replica. script: 1234, on @user_script:1.", ErrReadOnly},
	{"OOM command not allowed when used memory > 'maxmemory'.", ErrOutOfMemory},
	{"OOM command not allowed when used memory > 'maxmemory'. script: 1234, on @user_script:1.", ErrOutOfMemory},
	{"LOADING Redis is loading the dataset in memory", ErrLoading},
	{"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", ErrBusy},
	{"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.", ErrBusy},
	{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", ErrMasterDown},
	{"NOREPLICAS Not enough good replicas to write.", ErrNoReplicas},
	{"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", ErrPersistence},
	{"MISCONF Errors writing to the AOF file: No space left on device", ErrPersistence},
	{"CLUSTERDOWN Hash slot not served", ErrClusterDown},
	{"CLUSTERDOWN The cluster is down", ErrClusterDown},
	{"CLUSTERDOWN The cluster is down and only accepts read commands", ErrClusterDown},
	{"TRYAGAIN Multiple keys request during rehashing of slot", ErrTryAgain},
	{"CROSSSLOT Keys in request don't hash to the same slot", ErrCrossSlot},
	{"CROSSSLOT Script attempted to access keys that do not hash to the same slot script: 1234, on @user_script:1.", ErrCrossSlot},
	{"WRONGTYPE Operation against a key holding the wrong kind of value", ErrWrongType},
	{"MOVED 3999 127.0.0.1:6381", ErrWrongMode},
	{"ASK 3999 127.0.0.1:6381", ErrWrongMode},
	{"ERR This instance has cluster support disabled", ErrWrongMode},
	{"ERR unknown command 'SENTINEL', with args beginning with: 'get-master-addr-by-name' 'm' ", ErrWrongMode},
	{"ERR max number of clients reached", ErrMaxClients},
	{"ERR max number of clients + cluster connections reached", ErrMaxClients},
	// These have no sentinel.
	{"ERR syntax error", nil},
	{"ERR value is not an integer or out of range", nil},
	{"ERR unknown command 'FOO', with args beginning with: 'MOVED' 'OOM' ", nil},
	{"ERR unknown command 'SENTINELS'", nil},
	{"NOSCRIPT No matching script. Please use EVAL.", nil},
	{"EXECABORT Transaction discarded because of previous errors.", nil},
	{"BUSYKEY Target key name already exists.", nil},
	{"BUSYGROUP Consumer Group name already exists", nil},
	{"NOGROUP No such key 'k' or consumer group 'g'", nil},
	{"NOTBUSY No scripts in execution right now.", nil},
	{"UNKILLABLE Sorry the script already executed write commands against the dataset.", nil},
	{"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", nil},
	{"INPROG Failover already in progress", nil},
	{"NOPROTO unsupported protocol version", nil},
	{"IOERR error or timeout reading to target instance", nil},
	{"MOVEDX 1", nil},
	{"OOMPH", nil},
	{"loading", nil},
	{"", nil},
}

func TestKindOfReply(t *testing.T) {
	seen := map[string]bool{}
	for _, tc := range replies {
		if got := kindOfReply(tc.text); got != tc.kind { //nolint:errorlint // it returns sentinels as they are
			t.Errorf("%q is %v, want %v", tc.text, got, tc.kind)
		}
		// rueidis takes "ERR " off.
		if got := kindOfReply(strings.TrimPrefix(tc.text, "ERR ")); got != tc.kind { //nolint:errorlint // as above
			t.Errorf("%q without ERR is %v, want %v", tc.text, got, tc.kind)
		}
		word, _, _ := strings.Cut(tc.text, " ")
		seen[word] = true
	}
	for word := range replyKinds {
		if !seen[word] {
			t.Errorf("no test sends %s", word)
		}
	}
}

// An error reply as rueidis hands it out becomes an Error: its sentinel
// matches, its text is kept, the reply itself can be had.
func TestReplies(t *testing.T) {
	c := &Client{core: &core{}}
	for _, tc := range replies {
		if tc.text == "" {
			continue
		}
		reply := replyError(t, tc.text)
		err := c.callError("SET", true, reply)
		var kinds []error
		if tc.kind != nil {
			kinds = []error{tc.kind}
		}
		wantIs(t, err, kinds...) // in particular no ErrUnknownOutcome: the server did answer
		var found *rueidis.RedisError
		if quotes := strings.Contains(tc.text, ", with args beginning with"); errors.As(err, &found) == quotes {
			t.Errorf("%v: the reply can be had: %t", err, !quotes)
		}
		if !strings.HasPrefix(err.Error(), "conn: SET: ") || strings.Contains(err.Error(), "beginning with") {
			t.Errorf("the text is %q", err)
		}
	}
	// Of a command that a server does not know, its arguments are left out.
	err := c.callError("HELLO", false, replyError(t, "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' '"+canary+"'"))
	if text := fmt.Sprintf("%v %+v %#v %q", err, err, err, err); strings.Contains(text, canary) || !strings.Contains(text, "unknown command 'HELLO'") {
		t.Errorf("%s", text)
	}
}

// rueidis.IsRedisNil must go on to match, as it compares.
func TestNilReplyPassesThrough(t *testing.T) {
	if err := (&Client{core: &core{}}).callError("GET", true, rueidis.Nil); err != rueidis.Nil || !rueidis.IsRedisNil(err) { //nolint:errorlint // that is the point
		t.Errorf("the nil reply became %v", err)
	}
	c := &Client{core: &core{}}
	res := c.result("GET", true, rueidis.NewErrorResult(rueidis.Nil))
	if !rueidis.IsRedisNil(res.Error()) {
		t.Errorf("the nil reply became %v", res.Error())
	}
}

// What an error without a reply means for a read and for a write.
func TestCallErrors(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	notSent := func(k error) error { return &Error{Addr: "h:1", Kinds: []error{ErrNotConnected, k}, Err: refused} }
	lost := func(err error) error { return &Error{Addr: "h:1", Kinds: []error{ErrConnectionLost}, Err: err} }
	for _, tc := range []struct {
		name        string
		err         error
		read, write []error
	}{
		{"deadline", context.DeadlineExceeded, []error{ErrTimeout}, []error{ErrTimeout, ErrUnknownOutcome}},
		{"deadline of the connection", os.ErrDeadlineExceeded, []error{ErrTimeout}, []error{ErrTimeout, ErrUnknownOutcome}},
		{"cancelled", context.Canceled, nil, []error{ErrUnknownOutcome}},
		{"EOF", io.EOF, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"short read", io.ErrUnexpectedEOF, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"reset", reset, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"broken pipe", syscall.EPIPE, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"closed connection", net.ErrClosed, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"lost connection", lost(io.EOF), []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"lost connection, wrapped", fmt.Errorf("x: %w", lost(reset)), []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		{"rueidis closed it", rueidis.ErrClosing, []error{ErrNotConnected, ErrConnectionLost}, []error{ErrUnknownOutcome, ErrConnectionLost}},
		// Nothing was sent.
		{"refused", notSent(ErrRefused), []error{ErrNotConnected, ErrRefused}, []error{ErrNotConnected, ErrRefused}},
		{"TLS", notSent(ErrTLS), []error{ErrNotConnected, ErrTLS}, []error{ErrNotConnected, ErrTLS}},
		{"handshake timed out", notSent(ErrTimeout), []error{ErrNotConnected, ErrTimeout}, []error{ErrNotConnected, ErrTimeout}},
		{"no slot", rueidis.ErrNoSlot, []error{ErrClusterDown}, []error{ErrClusterDown}},
		{"something else", errors.New("protocol"), nil, []error{ErrUnknownOutcome}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Client{core: &core{}}
			read, write := c.callError("GET", false, tc.err), c.callError("SET", true, tc.err)
			wantIs(t, read, tc.read...)
			wantIs(t, write, tc.write...)
			for _, err := range []error{read, write} {
				var ours *Error
				if !errors.As(err, &ours) || ours.Op == "" {
					t.Errorf("%v is a %T", err, err)
				}
			}
			// The cause can be matched, but for rueidis', which is ours to name.
			cause := tc.err
			for _, inner := range []error{io.EOF, context.DeadlineExceeded, context.Canceled, syscall.ECONNRESET, syscall.ECONNREFUSED} {
				want := errors.Is(cause, inner) || (inner == context.DeadlineExceeded && errors.Is(read, ErrTimeout)) //nolint:errorlint // of the list above
				if want != errors.Is(read, inner) {
					t.Errorf("%v matches %v: %t", read, inner, errors.Is(read, inner))
				}
			}
			if strings.Contains(tc.err.Error(), "h:1") && !strings.Contains(read.Error(), "h:1") {
				t.Errorf("%v does not say which server", read)
			}
		})
	}
}

// After Close, what rueidis calls closing is ErrClosed; a write that was cut off
// by it is unknown all the same.
func TestCallErrorsAfterClose(t *testing.T) {
	c := &Client{core: &core{}}
	c.closing.Store(true)
	wantIs(t, c.callError("GET", false, rueidis.ErrClosing), ErrClosed)
	wantIs(t, c.callError("SET", true, rueidis.ErrClosing), ErrClosed, ErrUnknownOutcome)
}

// Only what may change something can have an unknown outcome.
func TestMayWrite(t *testing.T) {
	b, err := newBuilder(ModeStandalone)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		cmd  rueidis.Completed
		want bool
	}{
		{b.Get().Key("k").Build(), false},
		{b.Mget().Key("k").Build(), false},
		{b.Exists().Key("k").Build(), false},
		{b.Pttl().Key("k").Build(), false},
		{b.EvalshaRo().Sha1("s").Numkeys(0).Build(), false},
		{b.Ping().Build(), false},
		{b.Time().Build(), false},
		{b.Info().Build(), false},
		{b.Role().Build(), false},
		{b.Dbsize().Build(), false},
		{b.Scan().Cursor(0).Build(), false},
		{b.ClusterInfo().Build(), false},
		{b.PubsubNumsub().Build(), false},
		{b.Wait().Numreplicas(1).Timeout(1).Build(), false},
		{b.Arbitrary("HELLO").Build(), false},
		{b.Set().Key("k").Value("v").Build(), true},
		{b.Del().Key("k").Build(), true},
		{b.Expire().Key("k").Seconds(1).Build(), true},
		{b.Getdel().Key("k").Build(), true},
		{b.Evalsha().Sha1("s").Numkeys(0).Build(), true},
		{b.Publish().Channel("c").Message("m").Build(), true},
		{b.Flushall().Build(), true},
		{b.Arbitrary("SET", "k", "v").Build(), true},
		{b.Arbitrary("GET", "k").Build(), true}, // rueidis does not say, so it may
	} {
		op := tc.cmd.Commands()[0]
		if got := mayWrite(op, tc.cmd); got != tc.want {
			t.Errorf("%q may write: %t", tc.cmd.Commands(), got)
		}
	}
}

func TestRetry(t *testing.T) {
	classes := map[error]RetryClass{
		ErrClosed: RetryNo, ErrTLS: RetryNo, ErrWrongMode: RetryNo, ErrAuth: RetryNo, ErrPermission: RetryNo, ErrCrossSlot: RetryNo,
		ErrWrongType: RetryNo, ErrInvalidArgument: RetryNo,
		ErrNotConnected: RetryOK, ErrConnectionLost: RetryOK, ErrTimeout: RetryOK, ErrRefused: RetryOK, ErrDNS: RetryOK, ErrMaxClients: RetryOK, ErrReadOnly: RetryOK,
		ErrOutOfMemory: RetryOK, ErrLoading: RetryOK, ErrBusy: RetryOK, ErrMasterDown: RetryOK, ErrNoReplicas: RetryOK,
		ErrPersistence: RetryOK, ErrClusterDown: RetryOK, ErrTryAgain: RetryOK, ErrConnectionLost: RetryOK,
		ErrUnknownOutcome: RetryIfIdempotent,
	}
	for _, k := range allSentinels {
		want, ok := classes[k]
		if !ok {
			t.Errorf("no test says what Retry is to say of %v", k)
		}
		for _, err := range []error{k, fmt.Errorf("cache: get: %w", k), &Error{Op: "GET", Kinds: []error{k}}, &Error{Op: "GET", Err: k}, errors.Join(io.EOF, k)} {
			if got := Retry(err); got != want {
				t.Errorf("Retry of %q is %d, want %d", err, got, want)
			}
		}
	}
	for _, tc := range []struct {
		err  error
		want RetryClass
	}{
		{nil, RetryNo},
		{io.EOF, RetryNo},
		{rueidis.Nil, RetryNo},
		{&Error{Op: "GET"}, RetryNo},
		{&ArgumentError{Name: "ttl", Problem: "is negative"}, RetryNo},
		// What was not applied, and why not: the reason decides.
		{errors.Join(ErrNotConnected, ErrAuth), RetryNo},
		{errors.Join(ErrNotConnected, ErrTLS), RetryNo},
		{errors.Join(ErrNotConnected, ErrRefused), RetryOK},
		// What may have been applied comes first, whatever else is known.
		{errors.Join(ErrTimeout, ErrUnknownOutcome), RetryIfIdempotent},
		{errors.Join(ErrClosed, ErrUnknownOutcome), RetryIfIdempotent},
		{errors.Join(ErrUnknownOutcome, ErrAuth), RetryIfIdempotent},
	} {
		if got := Retry(tc.err); got != tc.want {
			t.Errorf("Retry of %v is %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestRetryClassText(t *testing.T) {
	for class, want := range map[RetryClass]string{RetryNo: "no", RetryOK: "ok", RetryIfIdempotent: "if idempotent", 9: "unknown"} {
		if got := class.String(); got != want {
			t.Errorf("%d is %q, want %q", int(class), got, want)
		}
	}
}

// What came from the raw client gets our form, once.
func TestWrapError(t *testing.T) {
	c := lazy(t, Config{})
	wantIs(t, c.WrapError("SCAN", false, io.EOF), ErrNotConnected, ErrConnectionLost)
	wantIs(t, c.WrapError("XADD", true, io.EOF), ErrUnknownOutcome, ErrConnectionLost)
	wantIs(t, c.WrapError("XADD", true, replyError(t, "READONLY x")), ErrReadOnly)
	if text := c.WrapError("SCAN", false, io.EOF).Error(); !strings.HasPrefix(text, "conn: SCAN: ") {
		t.Errorf("the text is %q", text)
	}
	ours := &Error{Op: "GET", Kinds: []error{ErrTimeout}}
	for _, err := range []error{nil, rueidis.Nil, ours} {
		if got := c.WrapError("SCAN", true, err); got != err { //nolint:errorlint // it must be the same
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("conn: the cause")
	for _, tc := range []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "GET", Kinds: []error{ErrTimeout}}, "conn: GET: timed out"},
		{&Error{Op: "SET", Kinds: []error{ErrTimeout, ErrUnknownOutcome}, Err: cause}, "conn: SET: timed out, outcome unknown: the cause"},
		{&Error{Op: "GET", Addr: "h:1", Kinds: []error{ErrNotConnected, ErrRefused}, Err: cause}, "conn: GET: not connected, connection refused (h:1): the cause"},
		{&Error{Addr: "h:1", Kinds: []error{ErrConnectionLost}, Err: io.EOF}, "conn: connection lost (h:1): EOF"},
		{&Error{Op: "GET", Err: cause}, "conn: GET: the cause"},
		{&Error{Kinds: []error{ErrClosed}}, "conn: client is closed"},
		{&Error{Kinds: []error{ErrClosed}, Err: &Error{Op: "x", Kinds: []error{ErrAuth}}}, "conn: client is closed: x: authentication failed"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if n := strings.Count(tc.err.Error(), "conn: "); n != 1 {
			t.Errorf("%q says conn %d times", tc.err, n)
		}
	}
	if got := (&ArgumentError{Name: "ttl", Problem: "is negative"}).Error(); got != "conn: ttl: is negative" {
		t.Error(got)
	}
}

func TestErrorUnwrap(t *testing.T) {
	kinds := make([]error, 1, 8)
	kinds[0] = ErrTimeout
	e := &Error{Kinds: kinds, Err: io.EOF}
	if got := e.Unwrap(); !slices.Equal(got, []error{ErrTimeout, io.EOF}) {
		t.Errorf("Unwrap is %v", got)
	}
	if extra := kinds[:2]; extra[1] != nil {
		t.Error("Unwrap wrote into Kinds' array, which errors share")
	}
	if got := (&Error{Kinds: kinds}).Unwrap(); !slices.Equal(got, []error{ErrTimeout}) {
		t.Errorf("Unwrap is %v", got)
	}
	if errors.Is(&ArgumentError{}, ErrTimeout) || !errors.Is(fmt.Errorf("x: %w", &ArgumentError{}), ErrInvalidArgument) {
		t.Error("an ArgumentError matches ErrInvalidArgument and nothing else")
	}
	list := errorList{errors.New("conn: a"), fmt.Errorf("b: %w", io.EOF)}
	if list.Error() != "a; b: EOF" || !errors.Is(list, io.EOF) {
		t.Errorf("the list is %q", list)
	}
}

// What the network and the certificate check say, sorted.
func TestKindsOf(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		err  error
		want []error
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), []error{ErrRefused}},
		{dial(os.NewSyscallError("connect", syscall.ENOENT)), []error{ErrRefused}},
		{dial(&net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}), []error{ErrDNS}},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "h", IsTimeout: true}), []error{ErrDNS}},
		{dial(os.ErrDeadlineExceeded), []error{ErrTimeout}},
		{dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), []error{ErrTimeout}},
		{context.DeadlineExceeded, []error{ErrTimeout}},
		{context.Canceled, nil},
		{x509.UnknownAuthorityError{}, []error{ErrTLS}},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, []error{ErrTLS}},
		{dial(errors.New("remote error: tls: certificate required")), []error{ErrTLS}},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), nil},
		{&Error{Kinds: []error{ErrNotConnected, ErrAuth}}, []error{ErrNotConnected, ErrAuth}},
		{replyError(t, "LOADING x"), []error{ErrLoading}},
		{replyError(t, "ERR x"), nil},
		{errors.New("x"), nil},
	} {
		if got := kindsOf(fmt.Errorf("wrapped: %w", tc.err)); !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}
