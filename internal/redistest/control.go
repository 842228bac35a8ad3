package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

func envServerSet() bool { return os.Getenv(EnvServer) != "" }

// errClosed is returned by the control methods after Close.
var errClosed = errors.New("the server was closed")

// control runs one change of the server's state under its lock.
func (s *Server) control(what string, change func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errClosed
	if !s.closed {
		err = change()
	}
	if err != nil {
		return fmt.Errorf("redistest: %s %s (%s, %s): %w", what, s.name, s.port.addr(), s.run, err)
	}
	return nil
}

// Freeze stops the server's process where it stands: sockets stay open, the
// kernel still takes connections and data for it, and nothing is answered until
// Thaw. On a server that is frozen it does nothing.
func (s *Server) Freeze(ctx context.Context) error {
	return s.control("freeze", func() error {
		if s.frozen {
			return nil
		}
		if err := s.run.freeze(ctx); err != nil {
			return err
		}
		s.frozen = true
		return nil
	})
}

// Thaw lets a frozen server go on: it answers what was sent in the meantime. On
// a server that is not frozen it does nothing.
func (s *Server) Thaw(ctx context.Context) error {
	return s.control("thaw", func() error { return s.thaw(ctx) })
}

func (s *Server) thaw(ctx context.Context) error {
	if !s.frozen {
		return nil
	}
	if err := s.run.thaw(ctx); err != nil {
		return err
	}
	s.frozen = false
	return nil
}

// Kill ends the server with SIGKILL, frozen or not, and returns when it has
// ended: connections are gone, new ones are refused, and what was not on disk is
// lost. On a server that is down it does nothing.
func (s *Server) Kill(ctx context.Context) error {
	return s.control("kill", func() error { return s.end(ctx, s.run.kill) })
}

// Stop ends the server with SIGTERM, as a deployment would, and returns when it
// has ended. On a server that is down it does nothing.
func (s *Server) Stop(ctx context.Context) error {
	return s.control("stop", func() error {
		if err := s.thaw(ctx); err != nil {
			return err
		}
		return s.end(ctx, s.run.stop)
	})
}

func (s *Server) end(ctx context.Context, how func(context.Context) error) error {
	if s.down {
		return nil
	}
	if up, err := s.run.running(ctx); err == nil && !up {
		how = func(context.Context) error { return nil } // it ended by itself, as by SHUTDOWN
	}
	for _, p := range s.gates() {
		// Without a server behind it a gate would accept and then reset, which is
		// not how a dead server looks.
		p.suspend()
	}
	if err := how(ctx); err != nil {
		return err
	}
	s.down, s.frozen = true, false
	return nil
}

// Start starts a server that is down, at the address and with the files it had,
// and does not wait until it answers: a test of loading uses it. On a server
// that is up it does nothing.
func (s *Server) Start(ctx context.Context) error { return s.start(ctx) }

func (s *Server) start(ctx context.Context) error {
	return s.control("start", func() error {
		if !s.down {
			return nil
		}
		if err := s.run.start(ctx, s.files); err != nil {
			return err
		}
		s.down = false
		var errs []error
		for _, p := range s.gates() {
			errs = append(errs, p.resume())
		}
		return errors.Join(errs...)
	})
}

// Restart ends the server if it is up, as Stop does, starts it again at the same
// address and waits until it answers. Data is back if it was on disk: set
// "appendonly": "yes" in [Options.Config].
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	return s.AwaitReady(ctx)
}

// AwaitReady waits until the server answers PING with PONG, at most 20 s. A
// server that ends instead is reported with its log.
func (s *Server) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		_, err := s.Do(ctx, "PING")
		if err == nil && s.sentinel {
			err = s.tune(ctx)
		}
		if err == nil {
			return true, nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if up, inspectErr := s.run.running(ctx); inspectErr == nil && !up {
			return false, fmt.Errorf("redistest: %s (%s) ended while it started; its log:\n%s", s.name, s.run, s.run.logs(ctx))
		}
		return false, nil
	}, func() string { return s.name + " answers PING" })
}

// poll waits until done returns true or an error, asking at growing intervals.
// When ctx ends first the error names what was awaited.
func poll(ctx context.Context, done func() (bool, error), what func() string) error {
	began := time.Now()
	pause := 2 * time.Millisecond
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redistest: waited %v until %s: %w", time.Since(began).Round(time.Millisecond), what(), ctx.Err())
		case <-time.After(pause):
			pause = min(2*pause, 50*time.Millisecond)
		}
	}
}

// Close ends the server in any state and removes all of it. A second call does
// nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	// Cleaning up has to happen also when the caller's context is over.
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, p := range s.gates() {
		p.Close()
	}
	err := s.run.remove(ctx)
	s.port.release()
	s.bus.release()
	return err
}
