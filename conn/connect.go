package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"
)

// connect makes the rueidis client. For a standalone server the client is
// usable even when err is not nil; otherwise it is nil then.
func (c *Client) connect() (rueidis.Client, error) {
	newClient := c.cfg.NewClient
	if newClient == nil {
		newClient = rueidis.NewClient
	}
	client, err := newClient(c.option())
	if client != nil && c.cfg.mode == ModeCluster && client.Mode() != rueidis.ClientModeCluster {
		// With one address rueidis falls back to a standalone client.
		client.Close()
		return nil, &Error{Addr: c.someAddr(), Kinds: []error{ErrNotConnected, ErrWrongMode}, Err: errors.New(
			"the server is not part of a cluster: leave Config.Mode empty, or set it to standalone")}
	}
	return client, err
}

// option is how this package uses rueidis.
func (c *Client) option() rueidis.ClientOption {
	cfg := &c.cfg
	nd := net.Dialer{
		// rueidis also bounds the handshake with it.
		Timeout: cfg.ConnectTimeout,
		// The pause between the PINGs on an idle connection.
		KeepAlive: cfg.ProbeInterval,
	}
	opt := rueidis.ClientOption{
		InitAddress: append([]string(nil), cfg.Addrs...),
		DialCtxFn:   c.dialer.dial,
		Dialer:      nd,
		TLSConfig:   cfg.TLS,
		Username:    cfg.Username,
		Password:    cfg.Password,
		ClientName:  cfg.ClientName,
		SelectDB:    cfg.DB,

		ConnWriteTimeout: cfg.CommandTimeout,

		// A deadline that passes costs the connection in rueidis' synchronous
		// mode; it does not when everything is pipelined. One connection per
		// node keeps the order of a goroutine's commands, and makes one PING
		// prove that everything sent before it was answered.
		AlwaysPipelining:  true,
		PipelineMultiplex: -1,
		RingScaleEachConn: ringScale,

		ReadBufferEachConn:  cfg.BufferBytes / 2,
		WriteBufferEachConn: cfg.BufferBytes / 2,
		BlockingPoolSize:    cfg.PoolSize,
		BlockingPoolCleanup: time.Minute,

		ForceSingleClient: cfg.mode == ModeStandalone,
		RetryDelay:        c.retryDelay,
		DisableCache:      true,
	}
	switch cfg.mode {
	case ModeSentinel:
		sd := nd
		sd.FallbackDelay = sentinelMark
		opt.Sentinel = rueidis.SentinelOption{
			MasterSet:  cfg.SentinelMaster,
			Dialer:     sd,
			TLSConfig:  cfg.TLS,
			Username:   cfg.SentinelUsername,
			Password:   cfg.SentinelPassword,
			ClientName: cfg.ClientName,
			// Without it, one lost notification binds us to the old primary.
			TopologyRefreshInterval: 5 * time.Second,
		}
	case ModeCluster:
		opt.ClusterOption.ShardsRefreshInterval = 10 * time.Second
	}
	if cfg.Credentials != nil {
		opt.AuthCredentialsFn = c.credentials
	}
	return opt
}

// retryDelay bounds how often rueidis tries a read again; what trying again
// cannot mend, it does not.
func (c *Client) retryDelay(attempts int, _ rueidis.Completed, err error) time.Duration {
	if attempts > c.cfg.MaxRetries || c.closing.Load() || isPermanent(err) {
		return -1
	}
	return backoff(attempts) / 2
}

// minRefresh is the least time between two refreshes of Config.Credentials.
const minRefresh = time.Second

// credentials asks the user's function, for as long as an attempt to connect
// may take: rueidis gives it no context, and holds up every call meanwhile.
func (c *Client) credentials(ac rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
	if na, ok := ac.Address.(nodeAddr); ok && na.sentinel {
		return rueidis.AuthCredentials{Username: c.cfg.SentinelUsername, Password: c.cfg.SentinelPassword}, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.ConnectTimeout)
	defer cancel()
	type result struct {
		cred Credentials
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("Config.Credentials panicked: %v", p)
			}
			done <- r
		}()
		r.cred, r.err = c.cfg.Credentials(ctx)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return rueidis.AuthCredentials{}, &Error{Op: "credentials", Kinds: []error{ErrNotConnected, ErrAuth}, Err: r.err}
		}
		after := r.cred.RefreshAfter
		if soonest := time.Now().Add(minRefresh); !after.IsZero() && after.Before(soonest) {
			after = soonest // a clock that is off must not become a storm of AUTH
		}
		return rueidis.AuthCredentials{Username: r.cred.Username, Password: r.cred.Password, RefreshAfter: after}, nil
	case <-ctx.Done():
		return rueidis.AuthCredentials{}, &Error{Op: "credentials", Kinds: []error{ErrNotConnected, ErrTimeout}, Err: fmt.Errorf("Config.Credentials did not return within %v", c.cfg.ConnectTimeout)}
	}
}
