// Package offheap is memory outside the Go heap, for package buffer. It promises nothing but speed: where the operating system has
// no such memory to give, it comes from the heap.
package offheap
