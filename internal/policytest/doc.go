// Package policytest runs tests of policies that stand in YAML files beside the configuration.
//
//	file ──Load──► policies, tests: traces as OTLP + what is expected of them ──Run──► evaluate ──► Outcome a test ──► Text, JUnit
//
// A file names the policies it is about and lists tests. A test gives a trace in a short form, several, or OTLP in a file or
// on the spot, and says what is to become of it:
//
//	config: thresher.yaml            # or policies: [...], or sampling: {...}; a Collector's configuration will do too
//	tests:
//	  - name: an error in checkout is kept
//	    trace:
//	      - service: frontend
//	        name: POST /checkout
//	        children:
//	          - {service: payment, name: charge, status: ERROR, duration: 120ms, attributes: {card.kind: debit}}
//	    expect: {decision: kept, policy: errors}
//
// It promises that a file is read strictly: a key that is not known, an expectation of a policy that does not exist, or a
// test that expects nothing is a mistake with its line; that a test depends on nothing but its file and what this names, so
// that it gives the same result today and tomorrow; and that each test has traces and limits of its own.
//
// A trace without trace_id has one that loses every draw: policies that keep a share of traces at random keep it only if
// they keep (nearly) all. So a test that it is kept tells what the other policies do. With `draw: win` it wins. Both hold
// for the default hash_salt and for randomness of W3C and OpenTelemetry; with another salt, write a trace_id.
package policytest
