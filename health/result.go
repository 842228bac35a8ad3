package health

import (
	"encoding/json"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Result is the outcome of one check. It is a plain value: nothing changes it
// after Check has returned it.
//
// Its JSON has the names given in the tags, which are stable: a name may be
// added, none is changed or removed. Durations are numbers of milliseconds,
// with names that end in _ms; times are RFC 3339. No password, user name, key or
// value is ever in it; addresses, versions and figures of the servers are.
type Result struct {
	// Healthy is true when reads and writes are served for every key: when
	// Status is StatusOK.
	Healthy bool   `json:"healthy"`
	Status  Status `json:"status"`
	// Reason says why it is not healthy.
	Reason Reason `json:"reason,omitempty"`
	// Err is the reason in words; nil exactly when Healthy. conn's sentinels
	// match it: errors.Is(r.Err, conn.ErrRefused). In JSON it is its text, as
	// "error".
	Err error `json:"-"`
	// CheckedAt is when the check began.
	CheckedAt time.Time `json:"checked_at"`
	// ResponseTime is how long the answer took: a round trip with the server's
	// time for it, in a cluster the slowest primary's. Where none came it is how
	// long the check took. In JSON: response_time_ms.
	ResponseTime time.Duration `json:"-"`
	// Slow is true when an answer took longer than Options.SlowAfter.
	Slow bool `json:"slow"`
	// Mode is the conn.Client's.
	Mode conn.Mode `json:"mode"`
	// Connection is the state of the conn.Client when the check ended. It may
	// lag behind: the check's own answer decides what is healthy.
	Connection Connection `json:"connection"`
	// Server tells of the server; in a cluster it adds up the primaries (see
	// Server and Info for how). Nil when nothing is known.
	Server *Server `json:"server,omitempty"`
	// Nodes are the servers that were asked, by address: the only one, the
	// primary behind the Sentinels, or every node of the cluster.
	Nodes []Node `json:"nodes,omitempty"`
	// Cluster is nil where there is none, or nothing is known of it.
	Cluster *Cluster `json:"cluster,omitempty"`
	// Warnings tell of what does not hinder service now.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Connection is how the connection of the conn.Client is.
type Connection struct {
	State conn.State `json:"-"` // in JSON its name, as "state"
	// Since is when it became so; zero before the first use of a lazy Client.
	Since time.Time `json:"-"`
}

// Node is one server.
type Node struct {
	// Addr is host:port, or a socket's path. Of a server that does not answer it
	// may be the address from which the last answer came, or empty.
	Addr string `json:"addr,omitempty"`
	// Healthy is true when the server does its part: a primary serves reads and
	// writes, a replica of a cluster answers and is connected to its primary.
	Healthy bool   `json:"healthy"`
	Reason  Reason `json:"reason,omitempty"`
	Err     error  `json:"-"` // in JSON its text, as "error"
	// ResponseTime is how long the answer took, or the failure. In JSON:
	// response_time_ms.
	ResponseTime time.Duration `json:"-"`
	Slow         bool          `json:"slow"`
	// Slots is how many slots of the cluster it serves, or should.
	Slots int `json:"slots,omitempty"`
	// Server is nil when the server did not answer.
	Server *Server `json:"server,omitempty"`
}

// Server is what a server tells of itself.
type Server struct {
	// Kind is "redis" or "valkey"; empty where it is not known. Of a cluster's
	// nodes, the first one's.
	Kind string `json:"kind,omitempty"`
	// Version is the server's own, "8.0.2". Of a cluster's nodes, the first
	// one's.
	Version string `json:"version,omitempty"`
	// Role is "primary" or "replica"; empty where it is not known.
	Role string `json:"role,omitempty"`
	// Tracking is true when the server can do client tracking, which near caches
	// need: it speaks RESP3, which came with it in version 6. In a cluster, when
	// all primaries can. A proxy that speaks RESP3 without tracking cannot be
	// told apart.
	Tracking bool `json:"tracking"`
	// Info is nil where INFO is refused.
	Info *Info `json:"info,omitempty"`
}

// Info is what INFO tells. Of a cluster, the sums over the primaries that
// answered, where a number can be added; else the first one's.
type Info struct {
	// Uptime is how long the server has been running; of a cluster, the
	// youngest. In JSON: uptime_ms.
	Uptime           time.Duration `json:"-"`
	ConnectedClients int64         `json:"connected_clients"`
	MaxClients       int64         `json:"max_clients,omitempty"`
	// UsedMemory is in bytes, UsedMemoryHuman the same for people: "2.50M".
	UsedMemory      int64  `json:"used_memory_bytes"`
	UsedMemoryHuman string `json:"used_memory_human"`
	// MaxMemory is in bytes; zero means no limit.
	MaxMemory       int64  `json:"maxmemory_bytes"`
	MaxMemoryPolicy string `json:"maxmemory_policy,omitempty"`
	// EvictedKeys counts since the server's start.
	EvictedKeys int64 `json:"evicted_keys"`
	// Loading is true while the server loads its data.
	Loading bool `json:"loading"`
	// LoadingETA is the server's guess of how long that still takes. In JSON:
	// loading_eta_ms, absent unless Loading.
	LoadingETA time.Duration `json:"-"`
	// Persistence is how data survives a restart of the server.
	Persistence Persistence `json:"persistence"`
	// ConnectedReplicas is how many replicas a primary has.
	ConnectedReplicas int64 `json:"connected_replicas"`
	// ReplicationLink is, on a replica, the state of the link to its primary, "up"
	// or "down"; empty on a primary.
	ReplicationLink string `json:"replication_link,omitempty"`
	// ReplicationLag is, on a replica, how long ago it last heard from its
	// primary, in whole seconds; negative where it never did. In JSON:
	// replication_lag_ms, absent on a primary.
	ReplicationLag time.Duration `json:"-"`
}

// Persistence is how data survives a restart of the server.
type Persistence string

// The kinds of persistence.
const (
	PersistenceAOF     Persistence = "aof"     // an append-only file
	PersistenceRDB     Persistence = "rdb"     // snapshots
	PersistenceBoth    Persistence = "aof+rdb" // both
	PersistenceOff     Persistence = "off"     // none: a restart loses everything
	PersistenceUnknown Persistence = "unknown" // no file, no snapshot so far, and CONFIG GET is refused
)

// Cluster is how a cluster is, seen from this process.
type Cluster struct {
	// SlotsServed is how many of the 16384 slots are served to this process: by a
	// primary that answered it, can serve, and reports cluster_state:ok.
	SlotsServed int `json:"slots_served"`
	// SlotsAssigned is how many have a primary at all.
	SlotsAssigned int `json:"slots_assigned"`
	// StateOK and StateFail count the nodes that report cluster_state ok or fail.
	StateOK   int `json:"state_ok"`
	StateFail int `json:"state_fail"`
	// Primaries and Replicas count the nodes, reachable or not, and Reachable
	// those that answered. A primary without slots counts as a primary.
	Primaries int `json:"primaries"`
	Replicas  int `json:"replicas"`
	Reachable int `json:"reachable"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func text(err error) string {
	if err == nil {
		return ""
	}
	const most = 500
	s := err.Error()
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// MarshalJSON writes what the tags and the comments of the fields say.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	return json.Marshal(struct {
		plain
		ResponseTimeMS float64 `json:"response_time_ms"`
		Error          string  `json:"error,omitempty"`
	}{plain(r), ms(r.ResponseTime), text(r.Err)})
}

// MarshalJSON writes the state's name and the time.
func (c Connection) MarshalJSON() ([]byte, error) {
	out := struct {
		State string     `json:"state"`
		Since *time.Time `json:"since,omitempty"`
	}{State: c.State.String()}
	if !c.Since.IsZero() {
		out.Since = &c.Since
	}
	return json.Marshal(out)
}

// MarshalJSON writes what the tags and the comments of the fields say.
func (n Node) MarshalJSON() ([]byte, error) {
	type plain Node
	return json.Marshal(struct {
		plain
		ResponseTimeMS float64 `json:"response_time_ms"`
		Error          string  `json:"error,omitempty"`
	}{plain(n), ms(n.ResponseTime), text(n.Err)})
}

// MarshalJSON writes what the tags and the comments of the fields say.
func (i Info) MarshalJSON() ([]byte, error) {
	type plain Info
	out := struct {
		plain
		UptimeMS         float64  `json:"uptime_ms"`
		LoadingETAMS     *float64 `json:"loading_eta_ms,omitempty"`
		ReplicationLagMS *float64 `json:"replication_lag_ms,omitempty"`
	}{plain: plain(i), UptimeMS: ms(i.Uptime)}
	if i.Loading {
		out.LoadingETAMS = new(float64)
		*out.LoadingETAMS = ms(i.LoadingETA)
	}
	if i.ReplicationLink != "" {
		out.ReplicationLagMS = new(float64)
		*out.ReplicationLagMS = ms(i.ReplicationLag)
	}
	return json.Marshal(out)
}
