package redistest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// The environment variables that choose what tests without a wish of their own
// run on. See the package comment.
const (
	EnvServer   = "REDISTEST_SERVER"
	EnvTopology = "REDISTEST_TOPOLOGY"
)

// A Version names a server and its release line, and so the image that runs it.
type Version string

// The versions that the matrix covers.
const (
	Redis80  Version = "redis:8.0"
	Redis70  Version = "redis:7.0"
	Valkey81 Version = "valkey:8.1"

	// Local is whatever redis-server (or valkey-server) is found in PATH, run as
	// a process of this machine even where a Docker engine answers.
	Local Version = "local"
)

// image returns the name of the Docker image, as the official ones are named.
func (v Version) image() string {
	if tag, ok := strings.CutPrefix(string(v), "valkey:"); ok {
		return "valkey/valkey:" + tag
	}
	return string(v)
}

// family and release split "valkey:8.1"; they are empty for [Local].
func (v Version) split() (family, release string) {
	family, release, ok := strings.Cut(string(v), ":")
	if !ok {
		return "", ""
	}
	return family, release
}

// DefaultVersion returns the version that $REDISTEST_SERVER names, or [Redis80].
// A name that is none of the known versions is an error.
func DefaultVersion() (Version, error) {
	v := Version(os.Getenv(EnvServer))
	switch v {
	case "":
		return Redis80, nil
	case Redis80, Redis70, Valkey81, Local:
		return v, nil
	}
	return "", fmt.Errorf("redistest: %s is %q: set it to one of %s, %s, %s, %s", EnvServer, v, Redis80, Redis70, Valkey81, Local)
}

// A Topology is how the servers of a [Group] work together.
type Topology string

// The topologies that the matrix covers.
const (
	TopologyStandalone Topology = "standalone"
	TopologySentinel   Topology = "sentinel" // 1 primary, 2 replicas, 3 Sentinels
	TopologyCluster    Topology = "cluster"  // 3 primaries with 1 replica each
)

// DefaultTopology returns the topology that $REDISTEST_TOPOLOGY names, or
// [TopologyStandalone]. Any other name is an error.
func DefaultTopology() (Topology, error) {
	t := Topology(os.Getenv(EnvTopology))
	switch t {
	case "":
		return TopologyStandalone, nil
	case TopologyStandalone, TopologySentinel, TopologyCluster:
		return t, nil
	}
	return "", fmt.Errorf("redistest: %s is %q: set it to one of %s, %s, %s", EnvTopology, t, TopologyStandalone, TopologySentinel, TopologyCluster)
}

// Options says what to start. The zero value is one server of the default
// version, without a password, TLS or persistence.
type Options struct {
	// Version of the server. Empty means $REDISTEST_SERVER, or Redis 8.0.
	Version Version

	// Password is the default user's (requirepass). It is used between the
	// servers of a group as well, and for Sentinels themselves unless
	// SentinelPassword is set. Empty means none.
	Password string

	// SentinelPassword is what Sentinels ask of their clients. Empty means
	// Password.
	SentinelPassword string

	// Users are ACL rules, one user each, as ACL SETUSER takes them:
	// "alice on >secret ~* &* +@all". To take the default user away add
	// "default off". The package's own control traffic has a user of its own.
	Users []string

	// TLS, if not nil, makes every port of every server a TLS port.
	TLS *TLS

	// Config are directives of redis.conf: {"maxmemory": "10mb"}. They win over
	// what the package sets by itself. A value of several words is written as in
	// redis.conf; an empty value is written as "".
	Config map[string]string

	// Socket makes the server listen on a Unix socket as well: [Server.Socket].
	// Standalone only.
	Socket bool

	// Direct leaves out the gates in front of the servers of a group, which
	// makes it faster, and makes partitions and [Server.Proxy] impossible.
	// A standalone server never has a gate.
	Direct bool

	// NodeTimeout is cluster-node-timeout, and Sentinel's
	// down-after-milliseconds, in milliseconds. Zero means 1000.
	NodeTimeout int
}

// withDefaults fills what the environment decides.
func (o Options) withDefaults() (Options, error) {
	if o.Version == "" {
		v, err := DefaultVersion()
		if err != nil {
			return o, err
		}
		o.Version = v
	}
	if o.SentinelPassword == "" {
		o.SentinelPassword = o.Password
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = 1000
	}
	return o, nil
}

// key identifies the options, so that equal wishes can share a server.
func (o Options) key() string {
	tls := "off"
	if o.TLS != nil {
		tls = fmt.Sprintf("%+v", *o.TLS)
	}
	var config strings.Builder
	for _, k := range slices.Sorted(maps.Keys(o.Config)) {
		fmt.Fprintf(&config, "%q=%q ", k, o.Config[k])
	}
	return fmt.Sprintf("%s %q %q %q %s %s %t %t %d", o.Version, o.Password, o.SentinelPassword, o.Users, tls, &config, o.Socket, o.Direct, o.NodeTimeout)
}
