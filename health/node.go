package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/relay-platform/redis/conn"
)

// The roles that a Server can have.
const (
	primaryRole = "primary"
	replicaRole = "replica"
)

// assess makes a Node of an answer. want is the role that the server should
// have. Warnings go to r, but for those about what a replica lacks.
func (k *Checker) assess(r *Result, a answer, want string) Node {
	n := Node{Addr: a.addr, ResponseTime: a.took, Err: a.err, Reason: reasonOf(a.err)}
	if a.err != nil {
		return n
	}
	if n.Slow = a.took > k.opts.SlowAfter; n.Slow {
		r.warn(WarnSlow, a.addr, "the answer took %v, more than %v", a.took.Round(time.Millisecond), k.opts.SlowAfter)
	}
	f := parseFields(a.info)
	n.Server = describe(a, f)
	switch reasonOf(a.infoErr) {
	case ReasonPermission, ReasonError:
		r.warn(WarnInfoForbidden, a.addr, "INFO is refused, so what it tells is absent: give the user +info (%v)", a.infoErr)
	case ReasonNone:
		n.Server.Info = newInfo(a.known, f)
	}
	err := wrongMode(a, r.Mode)
	if err == nil {
		err = refusal(a, f, n.Server, want)
	}
	if err != nil {
		n.Err, n.Reason = err, reasonOf(err)
	}
	n.Healthy = n.Err == nil
	if want == primaryRole {
		warnings(r, a, f, &n)
	}
	return n
}

// describe reads what HELLO and INFO both tell.
func describe(a answer, f fields) *Server {
	s := &Server{Kind: a.hello["server"], Version: a.hello["version"]}
	if kind, version := f.kind(); kind != "" {
		s.Kind, s.Version = kind, version
	}
	role := f["role"]
	if role == "" {
		role = a.hello["role"]
	}
	switch role {
	case "master":
		s.Role = primaryRole
	case "slave", "replica":
		s.Role = replicaRole
	}
	major, _, _ := strings.Cut(s.Version, ".")
	if v, err := strconv.Atoi(major); err != nil || v >= 6 {
		s.Tracking = a.hello["proto"] == "3"
	}
	return s
}

func newInfo(save saveAnswer, f fields) *Info {
	i := &Info{
		Uptime:            time.Duration(min(f.count("uptime_in_seconds"), 1<<33)) * time.Second,
		ConnectedClients:  f.count("connected_clients"),
		MaxClients:        f.count("maxclients"),
		UsedMemory:        f.count("used_memory"),
		MaxMemory:         f.count("maxmemory"),
		MaxMemoryPolicy:   f["maxmemory_policy"],
		EvictedKeys:       f.count("evicted_keys"),
		Loading:           f.has("loading", "1") && !f.has("async_loading", "1"),
		ConnectedReplicas: f.count("connected_slaves"),
		ReplicationLink:   f["master_link_status"],
	}
	i.UsedMemoryHuman = humanBytes(i.UsedMemory)
	if i.Loading {
		i.LoadingETA = time.Duration(min(f.count("loading_eta_seconds"), 1<<33)) * time.Second
	}
	if i.ReplicationLink != "" {
		i.ReplicationLag = time.Duration(min(max(f.num("master_last_io_seconds_ago"), -1), 1<<33)) * time.Second
	}
	i.Persistence = persistence(save, f)
	return i
}

func persistence(save saveAnswer, f fields) Persistence {
	aof := f.has("aof_enabled", "1")
	switch {
	case aof && save.known && save.points != "":
		return PersistenceBoth
	case aof:
		return PersistenceAOF
	case !save.known:
		return PersistenceUnknown
	case save.points != "":
		return PersistenceRDB
	}
	return PersistenceOff
}

// wrongMode says that the server is not what the client takes it for.
func wrongMode(a answer, mode conn.Mode) error {
	is := a.hello["mode"]
	if mode == conn.ModeCluster || is != "cluster" && is != "sentinel" {
		return nil
	}
	return &conn.Error{Op: "health", Addr: a.addr, Kinds: []error{conn.ErrWrongMode}, Err: fmt.Errorf("the server is in mode %s, the client in mode %s: change conn.Config.Mode", is, mode)}
}

// refusal says why a server that answered does not do its part; nil if it does.
// What hinders more comes first.
func refusal(a answer, f fields, s *Server, want string) error {
	say := func(kind error, format string, args ...any) error {
		return &conn.Error{Op: "health", Addr: a.addr, Kinds: []error{kind}, Err: fmt.Errorf(format, args...)}
	}
	// PING is refused exactly when next to everything else is too, or, with
	// MISCONF, every write.
	switch reasonOf(a.ping) {
	case ReasonLoading, ReasonBusy, ReasonAuth, ReasonReplicationLinkDown, ReasonClusterDown:
		return a.ping
	}
	if s.Info != nil && s.Info.Loading {
		return say(conn.ErrLoading, "%s%% loaded, %v to go by its own guess", f["loading_loaded_perc"], s.Info.LoadingETA)
	}
	if s.Role == replicaRole {
		if f.has("master_link_status", "down") {
			return &linkDown{addr: a.addr, primary: f["master_host"] + ":" + f["master_port"], seconds: f["master_link_down_since_seconds"]}
		}
		if want == replicaRole {
			return nil
		}
		if !f.has("slave_read_only", "0") {
			return say(conn.ErrReadOnly, "the server is a replica of %s:%s: writes are refused. Connect to the primary, or wait for the failover to end", f["master_host"], f["master_port"])
		}
	}
	if reasonOf(a.ping) == ReasonPersistence {
		return a.ping
	}
	if status := f["aof_last_write_status"]; f.has("aof_enabled", "1") && status != "" && status != "ok" {
		return say(conn.ErrPersistence, "aof_last_write_status is %q: look at the server's disk and its log", status)
	}
	if err := outOfMemory(f); err != nil {
		return say(conn.ErrOutOfMemory, "%w", err)
	}
	if f.has("min_slaves_good_slaves", "0") {
		return say(conn.ErrNoReplicas, "min-replicas-to-write is set, and no replica is connected and up to date")
	}
	switch reasonOf(a.write) {
	case ReasonReadOnly, ReasonOutOfMemory, ReasonPersistence, ReasonNoReplicas, ReasonReplicationLinkDown, ReasonClusterDown:
		return a.write
	}
	return nil
}

// outOfMemory says whether, and why, writes that need memory are refused, as
// the server itself decides it.
func outOfMemory(f fields) error {
	limit, policy := f.count("maxmemory"), f["maxmemory_policy"]
	used := f.count("used_memory") - f.count("mem_not_counted_for_evict")
	if limit == 0 || used <= limit {
		return nil
	}
	switch {
	case policy == "noeviction":
		return fmt.Errorf("%s in use, maxmemory is %s and the policy noeviction: writes are refused until keys expire or are deleted, or maxmemory is raised", humanBytes(used), humanBytes(limit))
	case strings.HasPrefix(policy, "volatile-") && f.expires() == 0:
		return fmt.Errorf("%s in use, maxmemory is %s, and the policy %s finds no key with a TTL to evict: writes are refused", humanBytes(used), humanBytes(limit), policy)
	}
	return nil
}

// linkDown is the error of a replica that has lost its primary, and still
// serves what it has.
type linkDown struct{ addr, primary, seconds string }

func (e *linkDown) Error() string {
	since := "since " + e.seconds + " s"
	if e.seconds == "" || strings.HasPrefix(e.seconds, "-") {
		since = "and never was there"
	}
	return fmt.Sprintf("health: %s is a replica, its link to the primary %s is down %s: its data is stale, and writes are refused", e.addr, e.primary, since)
}

// Unwrap says what a write would meet.
func (e *linkDown) Unwrap() error { return conn.ErrReadOnly }

// warnings tells of what may become a problem with a primary.
func warnings(r *Result, a answer, f fields, n *Node) {
	if !n.Server.Tracking && len(a.hello) > 0 {
		r.warn(WarnTrackingUnsupported, a.addr, "the server offers no client tracking (RESP3, version 6 or later): near caches cannot be used")
	}
	i := n.Server.Info
	if i == nil {
		return
	}
	if i.MaxMemory > 0 {
		switch {
		case strings.HasPrefix(i.MaxMemoryPolicy, "allkeys-"):
			r.warn(WarnEviction, a.addr, "maxmemory-policy %s evicts any key when memory is short: locks, sessions and rate limits can vanish, and data without a TTL too. Keep them on a server with noeviction", i.MaxMemoryPolicy)
		case strings.HasPrefix(i.MaxMemoryPolicy, "volatile-"):
			r.warn(WarnEviction, a.addr, "maxmemory-policy %s evicts keys that have a TTL when memory is short: locks, sessions and rate limits have one and can vanish. Keep them on a server with noeviction", i.MaxMemoryPolicy)
		}
	}
	if i.Persistence == PersistenceOff {
		r.warn(WarnPersistenceOff, a.addr, "neither snapshots nor an append-only file: a restart of the server loses everything, locks and sessions too")
	}
	if n.Reason != ReasonPersistence && f["rdb_last_bgsave_status"] != "" && !f.has("rdb_last_bgsave_status", "ok") {
		r.warn(WarnSaveFailed, a.addr, "the last snapshot failed (rdb_last_bgsave_status:%s): look at the server's disk and its log", f["rdb_last_bgsave_status"])
	}
}
