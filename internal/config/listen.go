package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// address is one host:port that a part listens on.
type address struct {
	at       *yaml.Node // nil for a default; it comes first, so that it is never the one to be changed
	path     string
	endpoint string
}

func checkListen(endpoint, example string) error {
	_, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return fmt.Errorf("%q is not host:port; write such as %s", endpoint, example)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port between 0 and 65535; write such as %s", endpoint, example)
	}
	return nil
}

// collisions reports addresses that cannot both be listened on.
func (r *reader) collisions() {
	for i, later := range r.addresses {
		for _, earlier := range r.addresses[:i] {
			if collide(earlier.endpoint, later.endpoint) {
				where := "the default"
				if earlier.at != nil {
					where = "line " + strconv.Itoa(earlier.at.Line)
				}
				r.d.add(later.at, later.path, "%s cannot be listened on, because %s (%s) has %s; choose another port",
					later.endpoint, earlier.path, where, earlier.endpoint)
				break
			}
		}
	}
}

func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || anyHost(hostA) || anyHost(hostB) || loopback(hostA) && loopback(hostB)
}

// reaches says whether a client that connects to target finds the server that listens on endpoint on the same machine.
func reaches(target, endpoint string) bool {
	host, port, err := net.SplitHostPort(target)
	listenHost, listenPort, listenErr := net.SplitHostPort(endpoint)
	if err != nil || listenErr != nil || port != listenPort || port == "0" {
		return false
	}
	return (loopback(host) || anyHost(host)) && (anyHost(listenHost) || loopback(listenHost))
}

func anyHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
