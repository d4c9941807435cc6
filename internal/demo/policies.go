package demo

// Sampling is a `sampling` section that suits the shop: it keeps what one wants to see, after waits short enough to watch.
const Sampling = `
decision_wait: 10s
decision_wait_after_root_received: 6s # SDKs send every 5 s: the services of your own application, too
policies:
  # Nobody ever looks at the traces of health checks.
  - name: health-checks
    type: drop
    drop:
      drop_sub_policy:
        - {name: probe, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 1000}}
  - {name: vip-users, type: string_attribute, string_attribute: {key: user.tier, values: [vip]}}
  # A tenth of the checkouts, as they are few and matter.
  - name: some-checkouts
    type: and
    and:
      and_sub_policy:
        - {name: route, type: string_attribute, string_attribute: {key: http.route, values: [/checkout]}}
        - {name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}
  # One in a hundred of the rest, spread over the kinds of requests: rare ones are seen too, and frequent ones pay for it.
  - {name: one-percent, type: adaptive, adaptive: {keys: [service.name, span.name], sampling_percentage: 1}}
`
