package node

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// memoryInUse returns the bytes that the Go runtime has from the operating system and has not given back.
func memoryInUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// budget is how the memory limit is shared out.
type budget struct {
	limit    int64
	buffer   int64 // payloads of open traces, all partitions together
	delivery int64 // kept traces that backends have not accepted yet
}

// shareMemory decides the budgets and tells the Go runtime its limit. configured is node.memory_limit; 0 means three
// quarters of what the container or machine has.
func shareMemory(configured int64) budget {
	limit := configured
	if limit == 0 {
		limit = machineMemory() / 4 * 3
	}
	// Spans are kept outside the heap (see package offheap), so that the collector neither looks at them nor waits until as much
	// garbage has come together.
	b := budget{limit: limit}
	b.buffer, b.delivery = b.share(payloadShare), b.share(deliveryShare)
	// What is neither: the program itself, stacks of the operating system, its buffers.
	other := min(limit/8, 64<<20)
	debug.SetMemoryLimit(limit - b.buffer - other)
	return b
}

// machineMemory returns the memory of the container (cgroup v2 or v1) or machine, 4 GiB if neither tells.
func machineMemory() int64 {
	most := int64(math.MaxInt64)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					most = kib << 10
				}
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				most = min(most, n)
			}
		}
	}
	if most == math.MaxInt64 {
		return 4 << 30
	}
	return most
}
