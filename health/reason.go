package health

import (
	"context"
	"errors"

	"github.com/relay-platform/redis/conn"
)

// Status sorts results into four classes. Its values are stable.
type Status string

// The statuses.
const (
	// StatusOK means that reads and writes are served, for every key.
	StatusOK Status = "ok"
	// StatusDegraded means that Redis answers, but refuses writes or does not
	// serve part of the keys.
	StatusDegraded Status = "degraded"
	// StatusDown means that no command can be served.
	StatusDown Status = "down"
	// StatusUnknown means that the check was given up by its caller: it says
	// nothing about Redis.
	StatusUnknown Status = "unknown"
)

// Reason says why a result is not healthy. Its values are stable; more may be
// added. See the package comment for how each is found.
type Reason string

// The reasons. After each, the status that comes with it.
const (
	ReasonNone Reason = "" // healthy

	ReasonRefused     Reason = "refused"      // down: nobody listens at the address: the server is not running
	ReasonDNS         Reason = "dns"          // down: the host name cannot be resolved
	ReasonTLS         Reason = "tls"          // down: the TLS handshake failed
	ReasonUnreachable Reason = "unreachable"  // down: the connection was cut, or could not be made
	ReasonNoAnswer    Reason = "no_answer"    // down: no answer in time: frozen, swamped or cut off
	ReasonAuth        Reason = "auth"         // down: wrong or missing user name or password
	ReasonPermission  Reason = "permission"   // down: the user may not do what connecting needs
	ReasonMaxClients  Reason = "max_clients"  // down: the server has too many clients
	ReasonWrongMode   Reason = "wrong_mode"   // down: a cluster node used as a single server, or the like
	ReasonLoading     Reason = "loading"      // down: the server loads its data
	ReasonBusy        Reason = "busy"         // down: a script or function blocks the server
	ReasonClusterDown Reason = "cluster_down" // down: no slot of the cluster is served
	ReasonClosed      Reason = "closed"       // down: the conn.Client was closed

	ReasonSlotsUncovered      Reason = "slots_uncovered"       // degraded: part of the cluster's slots is not served
	ReasonReadOnly            Reason = "read_only"             // degraded: the server is a read-only replica
	ReasonReplicationLinkDown Reason = "replication_link_down" // degraded: a replica that lost its primary; down if it refuses reads too
	ReasonOutOfMemory         Reason = "out_of_memory"         // degraded: maxmemory is reached, writes are refused
	ReasonPersistence         Reason = "persistence_failing"   // degraded: the server cannot save to its disk, writes are refused
	ReasonNoReplicas          Reason = "no_replicas"           // degraded: too few replicas are connected, writes are refused

	// ReasonNotAsked is only a Node's: the cluster has it, and the client does
	// not know it yet. The client looks every 10 s; a node that has just joined,
	// or a replica to which nothing was ever written, may have to wait for that.
	ReasonNotAsked Reason = "not_asked"

	ReasonError    Reason = "error"    // down: another error
	ReasonCanceled Reason = "canceled" // unknown: the caller's context ended first
)

// status returns the status that comes with a reason.
func (r Reason) status() Status {
	switch r {
	case ReasonNone:
		return StatusOK
	case ReasonSlotsUncovered, ReasonReadOnly, ReasonReplicationLinkDown, ReasonOutOfMemory, ReasonPersistence, ReasonNoReplicas:
		return StatusDegraded
	case ReasonCanceled:
		return StatusUnknown
	}
	return StatusDown
}

// reasons maps conn's sentinels to reasons. An error may match several; the
// first one here says the most.
var reasons = []struct {
	err    error
	reason Reason
}{
	{conn.ErrClosed, ReasonClosed},
	{conn.ErrAuth, ReasonAuth},
	{conn.ErrTLS, ReasonTLS},
	{conn.ErrMaxClients, ReasonMaxClients},
	{conn.ErrWrongMode, ReasonWrongMode},
	{conn.ErrPermission, ReasonPermission},
	{conn.ErrLoading, ReasonLoading},
	{conn.ErrBusy, ReasonBusy},
	{conn.ErrClusterDown, ReasonClusterDown},
	{conn.ErrMasterDown, ReasonReplicationLinkDown},
	{conn.ErrPersistence, ReasonPersistence},
	{conn.ErrReadOnly, ReasonReadOnly},
	{conn.ErrOutOfMemory, ReasonOutOfMemory},
	{conn.ErrNoReplicas, ReasonNoReplicas},
	{conn.ErrRefused, ReasonRefused},
	{conn.ErrDNS, ReasonDNS},
	{conn.ErrTimeout, ReasonNoAnswer},
	{context.DeadlineExceeded, ReasonNoAnswer},
	{context.Canceled, ReasonCanceled},
	{conn.ErrNotConnected, ReasonUnreachable},
	{conn.ErrUnknownOutcome, ReasonUnreachable}, // cut off: a check writes nothing, so nothing is unknown
}

// reasonOf returns the reason for an error of conn, or of a node.
func reasonOf(err error) Reason {
	if err == nil {
		return ReasonNone
	}
	var (
		link   *linkDown
		absent *notAsked
	)
	switch {
	case errors.As(err, &link):
		return ReasonReplicationLinkDown
	case errors.As(err, &absent) && !absent.failed:
		return ReasonNotAsked
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return ReasonError
}

// Warning tells of something that does not hinder service now.
type Warning struct {
	// Code is stable; see the Warn constants.
	Code string `json:"code"`
	// Addr is the server that it is about; empty where there is one.
	Addr string `json:"addr,omitempty"`
	// Message is for people.
	Message string `json:"message"`
}

// The codes of warnings. More may be added.
const (
	WarnSlow                = "slow"                  // an answer took longer than Options.SlowAfter
	WarnInfoForbidden       = "info_forbidden"        // INFO is refused: fields are absent
	WarnEviction            = "eviction"              // maxmemory-policy may evict keys that are in use, locks among them
	WarnPersistenceOff      = "persistence_off"       // neither snapshots nor an append-only file
	WarnSaveFailed          = "save_failed"           // the last snapshot failed, and writes are served nevertheless
	WarnTrackingUnsupported = "tracking_unsupported"  // no client tracking: near caches cannot be used
	WarnNoReplica           = "no_replica"            // behind Sentinels, no replica is connected: no failover is possible
	WarnReplicaUnreachable  = "replica_unreachable"   // a replica, or a node without slots, does not answer
	WarnReplicationLinkDown = "replication_link_down" // a replica is not connected to its primary
	WarnNodeDisagrees       = "node_disagrees"        // a node that serves nothing reports cluster_state:fail
)
