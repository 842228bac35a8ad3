package health

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

// source is what a Checker asks: a conn.Client, or a fake in tests.
type source interface {
	mode() conn.Mode
	state() conn.StateChange
	onState(func(conn.StateChange)) (remove func())
	observe(context.Context, conn.Event)
	// nodes returns whom to ask: the only server, or every node of the cluster.
	nodes(context.Context) ([]node, error)
}

// node is a server that can be asked. Its functions may outlast their context,
// by as long as rueidis is stuck with a frozen server.
type node struct {
	addr  string // empty where only the answer tells
	ask   func(context.Context, question) answer
	slots func(context.Context) ([]mapNode, error) // the slot map; nil outside a cluster
}

// question says what to ask beside PING, HELLO and INFO.
type question struct {
	cluster, save, write bool
}

// answer is what came back. Errors are conn's.
type answer struct {
	addr string
	took time.Duration
	// err says that no answer came; all else is then empty.
	err     error
	ping    error // an error reply
	hello   map[string]string
	info    string
	infoErr error
	cluster string // CLUSTER INFO
	save    string // CONFIG GET save
	saveErr error
	known   saveAnswer // what is known of CONFIG GET save by now
	write   error      // of the empty script
}

// clientSource asks through a conn.Client.
type clientSource struct{ c *conn.Client }

var _ source = clientSource{}

func (s clientSource) mode() conn.Mode         { return s.c.Mode() }
func (s clientSource) state() conn.StateChange { return s.c.LastStateChange() }
func (s clientSource) onState(fn func(conn.StateChange)) (remove func()) {
	return s.c.OnStateChange(fn)
}
func (s clientSource) observe(ctx context.Context, e conn.Event) { s.c.Observe(ctx, e) }

func (s clientSource) nodes(ctx context.Context) ([]node, error) {
	if s.c.Mode() != conn.ModeCluster {
		return []node{{ask: s.askOnly}}, nil
	}
	raw, err := s.c.Raw(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []node
	for addr, client := range raw.Nodes() {
		nodes = append(nodes, node{
			addr: addr,
			ask: func(ctx context.Context, q question) answer {
				return ask(ctx, addr, q, s.c.B(), client.DoMulti)
			},
			slots: func(ctx context.Context) ([]mapNode, error) {
				msg, err := client.Do(ctx, s.c.B().ClusterNodes().Build()).ToMessage()
				text := ""
				if err == nil {
					text, err = verbatim(msg)
				}
				if err != nil {
					return nil, nodeError("CLUSTER NODES", addr, err)
				}
				return parseNodes(text, addr), nil
			},
		})
	}
	return nodes, nil
}

// askOnly asks the only server there is, or the primary behind the Sentinels.
func (s clientSource) askOnly(ctx context.Context, q question) answer {
	a := ask(ctx, "", q, s.c.B(), s.c.DoMulti)
	var known *conn.Error
	if errors.As(a.err, &known) {
		a.addr = known.Addr
	}
	if a.err != nil {
		return a
	}
	if raw, err := s.c.Raw(ctx); err == nil {
		for addr := range raw.Nodes() { // one, in these modes
			a.addr = addr
		}
	}
	return a
}

// emptyScript writes nothing, but as it does not say so ("flags=no-writes"), the
// server takes it for a script that may write, and refuses it whenever it would
// refuse a write, before running it.
const emptyScript = "#!lua\nreturn 1"

// ask sends one pipeline. The commands that rueidis does not know for reads are
// marked as such where they are none that conn knows: losing their replies
// leaves nothing unknown. PING is not, so that the pipeline is not tried again.
func ask(ctx context.Context, addr string, q question, b rueidis.Builder,
	do func(context.Context, ...rueidis.Completed) []rueidis.RedisResult,
) answer {
	cmds := []rueidis.Completed{b.Ping().Build(), b.Arbitrary("HELLO").Build(), b.Info().Build()}
	if q.cluster {
		cmds = append(cmds, b.ClusterInfo().Build())
	}
	if q.save {
		cmds = append(cmds, b.Arbitrary("CONFIG", "GET").Args("save").ReadOnly())
	}
	if q.write {
		cmds = append(cmds, b.Arbitrary("EVAL").Args(emptyScript, "0").ReadOnly())
	}
	start := time.Now()
	res := do(ctx, cmds...)
	a := answer{addr: addr, took: time.Since(start)}
	next := func(op string) (rueidis.RedisMessage, error) {
		msg, err := res[0].ToMessage()
		res = res[1:]
		err = nodeError(op, addr, err)
		if err != nil && !isReply(err) && a.err == nil {
			a.err = err
		}
		return msg, err
	}
	_, a.ping = next("PING")
	if msg, err := next("HELLO"); err == nil {
		a.hello = textMap(msg)
	}
	var msg rueidis.RedisMessage
	if msg, a.infoErr = next("INFO"); a.infoErr == nil {
		a.info, a.infoErr = verbatim(msg)
	}
	if q.cluster {
		if msg, err := next("CLUSTER INFO"); err == nil {
			a.cluster, err = verbatim(msg)
			if err != nil && a.infoErr == nil {
				a.infoErr = nodeError("CLUSTER INFO", addr, err)
			}
		}
	}
	if q.save {
		if msg, a.saveErr = next("CONFIG GET"); a.saveErr == nil {
			var told bool
			if a.save, told = textMap(msg)["save"]; !told { // some managed offers hide it
				a.saveErr = &conn.Error{Op: "CONFIG GET", Addr: addr, Err: &replyError{"save is not told"}}
			}
		}
	}
	if q.write {
		_, a.write = next("EVAL")
	}
	if a.err == nil && a.ping != nil && len(a.hello) == 0 && a.infoErr != nil {
		// Everything was refused: what connecting needs was, and each command
		// got that answer.
		a.err = a.ping
	}
	if a.err != nil {
		return answer{addr: addr, took: a.took, err: a.err}
	}
	return a
}

// verbatim returns a text. In RESP3 it is a verbatim string, and rueidis hands
// out the three letters of its format and the colon with it.
func verbatim(msg rueidis.RedisMessage) (string, error) {
	s, err := msg.ToString()
	return strings.TrimPrefix(s, "txt:"), err
}

// textMap reads the texts and numbers of a map reply.
func textMap(msg rueidis.RedisMessage) map[string]string {
	m, err := msg.AsMap()
	if err != nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, err := v.ToString(); err == nil {
			out[k] = s
		} else if n, err := v.ToInt64(); err == nil {
			out[k] = strconv.FormatInt(n, 10)
		}
	}
	return out
}

// replyKinds maps the first word of the error replies that a node's own client
// hands out, which are not conn's, to conn's sentinels.
var replyKinds = map[string]error{
	"LOADING": conn.ErrLoading, "BUSY": conn.ErrBusy, "NOAUTH": conn.ErrAuth, "WRONGPASS": conn.ErrAuth,
	"NOPERM": conn.ErrPermission, "MASTERDOWN": conn.ErrMasterDown, "MISCONF": conn.ErrPersistence,
	"READONLY": conn.ErrReadOnly, "OOM": conn.ErrOutOfMemory, "NOREPLICAS": conn.ErrNoReplicas,
	"CLUSTERDOWN": conn.ErrClusterDown,
}

// nodeError makes an error that conn's sentinels match of what a node's own
// client returned. An error of conn's stays as it is.
func nodeError(op, addr string, err error) error {
	var (
		known  *conn.Error
		reply  *rueidis.RedisError
		netErr net.Error
	)
	switch {
	case err == nil, rueidis.IsRedisNil(err):
		return nil
	case errors.As(err, &known) && known.Op != "":
		return err
	case known != nil:
		kinds := known.Kinds
		if len(kinds) == 0 { // a connection that broke
			kinds = []error{conn.ErrNotConnected}
		}
		return &conn.Error{Op: op, Addr: addr, Kinds: kinds, Err: known.Err}
	case errors.As(err, &reply):
		text := reply.Error()
		if i := strings.Index(text, ", with args beginning with"); i >= 0 {
			text = text[:i] // the server repeats what it was sent
		}
		e := &conn.Error{Op: op, Addr: addr, Err: &replyError{text}}
		word, _, _ := strings.Cut(text, " ")
		if k := replyKinds[word]; k != nil {
			e.Kinds = []error{k}
		}
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return &conn.Error{Op: op, Addr: addr, Kinds: []error{conn.ErrNotConnected, conn.ErrTimeout}, Err: err}
	}
	return &conn.Error{Op: op, Addr: addr, Kinds: []error{conn.ErrNotConnected}, Err: err}
}

// replyError is an error reply without what the server repeated in it.
type replyError struct{ text string }

func (e *replyError) Error() string { return e.text }

// isReply reports whether the server answered, with an error.
func isReply(err error) bool {
	var (
		reply *rueidis.RedisError
		text  *replyError
		known *conn.Error
	)
	if errors.As(err, &reply) || errors.As(err, &text) {
		return true
	}
	// A reply that conn has shortened, as it would repeat what was sent.
	return errors.As(err, &known) && len(known.Kinds) == 0 && !errors.Is(err, context.Canceled)
}
