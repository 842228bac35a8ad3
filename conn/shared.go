package conn

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"reflect"
	"sync"
)

// registry holds the Clients of Shared. It is the package's only variable
// state.
var registry = struct {
	mu      sync.Mutex
	entries map[[32]byte]*sharedEntry
}{entries: map[[32]byte]*sharedEntry{}}

// sharedEntry is one configuration's Client, or the attempt to open it.
type sharedEntry struct {
	key    [32]byte
	refs   int
	opened chan struct{} // closed when what follows is set
	client *Client
	err    error
	// tls keeps the configuration alive whose address is in key, so that no
	// other one can get that address, and with it this connection.
	tls *tls.Config
	// outOfTime says that err is due to the context of the one who opened.
	outOfTime bool
}

// Shared returns a Client for this configuration that shares its connection with
// every other Client that Shared returned for it in this process. The first one
// connects; when each of them was closed, so is the connection. Closing one
// twice does not close it for the others.
//
// Two Configs are the same when they mean the same, whether it was said by URL
// or by fields, and carry the same *tls.Config and Observer. A Config with
// Credentials, NewClient or an Observer that is no pointer cannot be shared, as
// functions cannot be compared: that is an *ArgumentError.
func Shared(ctx context.Context, cfg Config) (*Client, error) {
	key, err := fingerprint(cfg)
	if err != nil {
		return nil, err
	}
	registry.mu.Lock()
	e := registry.entries[key]
	if e != nil {
		e.refs++
		registry.mu.Unlock()
		select {
		case <-e.opened:
		case <-ctx.Done():
			e.drop()
			return nil, &Error{Op: "open", Kinds: append([]error{ErrNotConnected}, kindsOf(ctx.Err())...), Err: ctx.Err()}
		}
		if e.err != nil && e.outOfTime && ctx.Err() == nil {
			return Shared(ctx, cfg) // the time of the one who opened, not ours
		}
		return e.handle(), e.err
	}
	e = &sharedEntry{key: key, refs: 1, tls: cfg.TLS, opened: make(chan struct{})}
	registry.entries[key] = e
	registry.mu.Unlock()

	e.client, e.err = Open(ctx, cfg)
	if e.err != nil {
		e.outOfTime = ctx.Err() != nil
		registry.mu.Lock()
		delete(registry.entries, key) // the next Shared tries anew
		registry.mu.Unlock()
	}
	close(e.opened)
	return e.handle(), e.err
}

// handle returns one more Client on the entry's connection, or nil where there
// is none.
func (e *sharedEntry) handle() *Client {
	if e.err != nil {
		return nil
	}
	return &Client{core: e.client.core, shared: e}
}

// drop gives back what a Shared took that ran out of time. If it was the last
// one waiting for a Client that did open, it closes it.
func (e *sharedEntry) drop() {
	go func() {
		<-e.opened
		if c := e.handle(); c != nil {
			_ = c.Close(context.Background())
		}
	}()
}

// release counts a Close and reports whether it was the last.
func (e *sharedEntry) release() bool {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	e.refs--
	if e.refs > 0 {
		return false
	}
	if registry.entries[e.key] == e {
		delete(registry.entries, e.key)
	}
	return true
}

// fingerprint is the same for Configs that mean the same.
func fingerprint(cfg Config) ([32]byte, error) {
	r, err := cfg.resolve()
	if err != nil {
		return [32]byte{}, err
	}
	if cfg.Credentials != nil {
		return [32]byte{}, configError("Credentials", "is a function, which cannot be compared: share the Client that Open returns yourself")
	}
	if cfg.NewClient != nil {
		return [32]byte{}, configError("NewClient", "is a function, which cannot be compared: share the Client that Open returns yourself")
	}
	if cfg.Observer != nil && !isPointer(cfg.Observer) {
		return [32]byte{}, configError("Observer", "is a %T: only a pointer can be compared", cfg.Observer)
	}
	secured := ""
	if cfg.TLS != nil {
		secured = fmt.Sprintf("%p", cfg.TLS)
	} else if r.TLS != nil {
		secured = "default"
	}
	// Quoted by %#v, which keeps bytes apart that are no UTF-8, as a password's
	// may be. The observer's type, as pointers to empty structs are all equal.
	text := fmt.Sprintf("%#v", []any{
		string(r.mode), r.Addrs, r.SentinelMaster, r.Username, r.Password, r.SentinelUsername, r.SentinelPassword, r.DB, r.KeyPrefix,
		r.ClientName, secured, r.ConnectTimeout, r.CommandTimeout, r.ProbeInterval, r.ProbeTimeout, r.MaxRetries, r.MaxPending,
		r.PoolSize, r.BufferBytes, r.Lazy, fmt.Sprintf("%T %p", cfg.Observer, cfg.Observer),
	})
	return sha256.Sum256([]byte(text)), nil
}

func isPointer(o Observer) bool { return reflect.TypeOf(o).Kind() == reflect.Pointer }
