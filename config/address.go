package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// hostPort checks "host:port" and returns the host, which is empty in ":25". usual is the port of a near miss.
func hostPort(text, usual string) (host string, err error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("%s is no \"host:port\"%s", quote(text), withPort(text, usual))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return "", fmt.Errorf("%s names port %s: a port is a number from 0 to 65535", quote(text), quote(port))
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return host, nil
	}
	if _, err := domainName(host); err != nil {
		return "", fmt.Errorf("%s names the host %s, which is neither an address nor a domain name", quote(text), quote(host))
	}
	return host, nil
}

// withPort shows how an address that lacks only its port is written.
func withPort(text, usual string) string {
	if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return "; did you mean " + quote(net.JoinHostPort(ip.String(), usual)) + "?"
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		return "; did you mean " + quote(":"+text) + "?"
	}
	if _, err := domainName(text); err == nil {
		return "; did you mean " + quote(text+":"+usual) + "?"
	}
	return ""
}

// isLoopback reports whether the host is this machine as only this machine sees it.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
