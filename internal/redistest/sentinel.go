package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	sentinelServers = 3 // a primary and two replicas
	sentinelCount   = 3
	sentinelQuorum  = 2
)

// startSentinel starts the servers and the Sentinels.
func (g *Group) startSentinel(ctx context.Context) error {
	g.network = newNetwork(sentinelServers + sentinelCount)
	for i := range sentinelServers {
		s, err := g.member(ctx, i, fmt.Sprintf("server %d", i), false)
		if err != nil {
			return err
		}
		g.Servers = append(g.Servers, s)
		c := s.common()
		c["replica-announce-ip"] = "127.0.0.1"
		c["replica-announce-port"] = strconv.Itoa(s.announced())
		c["masteruser"] = controlUser
		c["masterauth"] = controlPassword()
		s.files[configFile] = s.config(c)
	}
	for i := range sentinelCount {
		s, err := g.member(ctx, sentinelServers+i, fmt.Sprintf("Sentinel %d", i), true)
		if err != nil {
			return err
		}
		g.Sentinels = append(g.Sentinels, s)
		c := s.common()
		of := func(setting string) string { return "sentinel " + setting + " " + MasterName }
		c[of("monitor")] = fmt.Sprintf("127.0.0.1 %d %d", g.Servers[0].announced(), sentinelQuorum)
		c[of("down-after-milliseconds")] = strconv.Itoa(g.opts.NodeTimeout)
		c[of("failover-timeout")] = strconv.Itoa(3 * g.opts.NodeTimeout)
		c[of("parallel-syncs")] = "2"
		c[of("auth-user")] = controlUser
		c[of("auth-pass")] = controlPassword()
		c["sentinel sentinel-user"] = controlUser
		c["sentinel sentinel-pass"] = controlPassword()
		c["sentinel announce-ip"] = "127.0.0.1"
		c["sentinel announce-port"] = strconv.Itoa(s.announced())
		s.files[configFile] = s.config(c)
	}
	up := func(s *Server) error {
		if err := s.start(ctx); err != nil {
			return err
		}
		return s.AwaitReady(ctx)
	}
	if err := each(g.Servers, up); err != nil {
		return err
	}
	// Made replicas only now, because one that finds no primary at its start
	// tries again only after a second.
	if err := each(g.Servers[1:], func(s *Server) error {
		if _, err := s.Do(ctx, "REPLICAOF", "127.0.0.1", g.Servers[0].announced()); err != nil {
			return err
		}
		_, err := s.Do(ctx, "CONFIG", "REWRITE")
		return err
	}); err != nil {
		return err
	}
	return each(g.Sentinels, up)
}

// tune makes a Sentinel that has started fit for a short down-after time. By
// default it tries an address again only after a second, also one that it has
// just been told of; with a down-after time of a second it then takes the
// primary that it has just promoted for dead. The other two periods are how
// often it looks for replicas (10 s) and speaks to other Sentinels (2 s).
func (s *Server) tune(ctx context.Context) error {
	_, err := s.Do(ctx, "SENTINEL", "DEBUG", "ping-period", 200, "info-period", 500, "publish-period", 200)
	return err
}

// sentinelPrimary asks the Sentinels, and believes a majority of all of them.
func (g *Group) sentinelPrimary(ctx context.Context) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var mu sync.Mutex
	votes := map[string]int{}
	err := each(live(g.Sentinels), func(s *Server) error {
		reply, err := s.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
		if err != nil {
			return err
		}
		if addr, ok := reply.([]any); ok && len(addr) == 2 {
			mu.Lock()
			defer mu.Unlock()
			votes[fmt.Sprintf("%v:%v", addr[0], addr[1])]++
		}
		return nil
	})
	for addr, n := range votes {
		if n > sentinelCount/2 {
			return g.byAddr(addr)
		}
	}
	return nil, errors.Join(fmt.Errorf("redistest: no majority of Sentinels for one primary: %v", votes), err)
}

// sentinelConverged returns why the live members do not agree yet.
func (g *Group) sentinelConverged(ctx context.Context) error {
	primary, err := g.sentinelPrimary(ctx)
	if err != nil {
		return err
	}
	servers := live(g.Servers)
	if err := each(servers, func(s *Server) error {
		info, err := replicating(ctx, s)
		switch {
		case err != nil:
			return err
		case s == primary && info["role"] != "master":
			return fmt.Errorf("%s: the Sentinels' primary is a %s", s.name, info["role"])
		case s == primary && info["connected_slaves"] != strconv.Itoa(len(servers)-1):
			return fmt.Errorf("%s: has %s replicas connected", s.name, info["connected_slaves"])
		case s != primary && info["role"] != "slave":
			return fmt.Errorf("%s: is a second primary", s.name)
		case s != primary && "127.0.0.1:"+info["master_port"] != primary.Addr():
			return fmt.Errorf("%s: replicates port %s, not %s", s.name, info["master_port"], primary.Addr())
		}
		return nil
	}); err != nil {
		return err
	}
	return each(live(g.Sentinels), func(s *Server) error {
		reply, err := s.Do(ctx, "SENTINEL", "MASTER", MasterName)
		if err != nil {
			return err
		}
		m := pairs(reply)
		if m["flags"] != "master" || m["num-slaves"] != strconv.Itoa(sentinelServers-1) || m["num-other-sentinels"] != strconv.Itoa(sentinelCount-1) || m["ip"]+":"+m["port"] != primary.Addr() {
			return fmt.Errorf("%s: sees a primary %s with %s replicas and %s other Sentinels", s.name, m["flags"], m["num-slaves"], m["num-other-sentinels"])
		}
		for _, of := range []struct {
			what, flags string
			members     []*Server
		}{{"REPLICAS", "slave", servers}, {"SENTINELS", "sentinel", live(g.Sentinels)}} {
			reply, err := s.Do(ctx, "SENTINEL", of.what, MasterName)
			if err != nil {
				return err
			}
			list, _ := reply.([]any)
			for _, item := range list {
				m := pairs(item)
				for _, o := range of.members {
					if m["ip"]+":"+m["port"] != o.Addr() {
						continue
					}
					// A replica is fit for promotion once its INFO told the link.
					if m["flags"] != of.flags || of.what == "REPLICAS" && m["master-link-status"] != "ok" {
						return fmt.Errorf("%s: sees %s as %s, link %s", s.name, o.name, m["flags"], m["master-link-status"])
					}
				}
			}
		}
		return nil
	})
}

// pairs reads a flat list of names and values.
func pairs(reply any) map[string]string {
	m := map[string]string{}
	list, _ := reply.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		value, _ := list[i+1].(string)
		m[name] = value
	}
	return m
}

func (g *Group) sentinelFailover(ctx context.Context, primary *Server) (*Server, error) {
	successor, err := g.successor(ctx, primary)
	if err != nil {
		return nil, err
	}
	sentinels := live(g.Sentinels)
	if len(sentinels) == 0 {
		return nil, errors.New("redistest: no Sentinel is up")
	}
	ctx, cancel := context.WithTimeout(ctx, convergeTimeout)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		_, err := sentinels[0].Do(ctx, "SENTINEL", "FAILOVER", MasterName)
		var reply ReplyError
		if errors.As(err, &reply) && (strings.HasPrefix(string(reply), "NOGOODSLAVE") || strings.HasPrefix(string(reply), "INPROG")) {
			return false, nil
		}
		return err == nil, err
	}, func() string { return "a Sentinel can start a failover" }); err != nil {
		return nil, err
	}
	next, err := successor(ctx)
	if err != nil {
		return nil, err
	}
	return next, g.AwaitConverged(ctx)
}
