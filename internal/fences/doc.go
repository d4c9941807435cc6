// Package fences holds no code: its tests keep the deterministic core away from everything that could make two runs differ.
package fences
