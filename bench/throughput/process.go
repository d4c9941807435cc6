package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// usage is what the kernel says of a process.
type usage struct {
	CPU  float64 // user and system, seconds
	RSS  int64   // bytes, now
	Peak int64   // bytes, the most there ever was
}

// ticks is the unit of /proc/PID/stat on every Linux that Go runs on.
const ticks = 100

func usageOf(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, err
	}
	return parseUsage(string(stat), string(status))
}

func parseUsage(stat, status string) (usage, error) {
	var u usage
	// The name of the program, in parentheses, may have spaces and parentheses itself.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/PID/stat has %d fields behind the name", len(fields))
	}
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.CPU += float64(n) / ticks
	}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		if key != "VmHWM" && key != "VmRSS" {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return u, err
		}
		if key == "VmRSS" {
			u.RSS = n << 10
		} else {
			u.Peak = n << 10
		}
	}
	return u, nil
}

// machine is where it was measured.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Load   string `json:"load_average"` // at the start
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	read := func(file string) string {
		b, _ := os.ReadFile(file) // a file that is not there leaves its line empty
		return string(b)
	}
	m.CPU = value(read("/proc/cpuinfo"), "model name")
	kib, _ := strconv.ParseInt(strings.TrimSuffix(value(read("/proc/meminfo"), "MemTotal"), " kB"), 10, 64)
	m.Memory = kib << 10
	m.Kernel = strings.TrimSpace(read("/proc/sys/kernel/osrelease"))
	if f := strings.Fields(read("/proc/loadavg")); len(f) > 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	return m
}

// value finds the first "key : value" line of a key.
func value(text, key string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
