//go:build !invariants

package sampler

// check is compiled to nothing; tests of the product run with the build tag invariants.
func (m *Machine) check() {}
