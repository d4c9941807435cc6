package shop

import "fmt"

// A service of the shop. Every service runs as three pods; those with agent set send through the agent of their node.
type service struct {
	name, language, version string
	agent                   bool
}

const (
	frontend = iota
	gateway
	cart
	checkout
	payment
	inventory
	shipping
	recommendation
	auth
	email
	serviceCount
)

const (
	podsPerService = 3
	instances      = serviceCount * podsPerService
)

// The instrumentation scopes of a service: what answers calls, what makes them, and its own code.
const (
	scopeServer = iota
	scopeClient
	scopeApp
	scopesPerService
)

func services() [serviceCount]service {
	return [serviceCount]service{
		frontend:       {"frontend", "nodejs", "4.12.0", false},
		gateway:        {"gateway", "go", "2.7.1", false},
		cart:           {"cart", "java", "1.31.4", false},
		checkout:       {"checkout", "go", "3.3.0", false},
		payment:        {"payment", "java", "5.0.2", false},
		inventory:      {"inventory", "python", "0.44.1", true},
		shipping:       {"shipping", "rust", "1.2.9", true},
		recommendation: {"recommendation", "python", "7.1.0", false},
		auth:           {"auth", "go", "2.0.5", true},
		email:          {"email", "ruby", "0.9.3", true},
	}
}

// Namespace is the service.namespace of all services of the shop.
const Namespace = "shop"

// resourceField is the Resource field of a ResourceSpans message for one pod of a service.
func resourceField(s service, pod int) []byte {
	host := fmt.Sprintf("node-%d", pod+1)
	podName := fmt.Sprintf("%s-6d8f%d9c-x%d", s.name, len(s.name), pod)
	var r []byte
	r = appendString(r, 1, "service.name", s.name)
	r = appendString(r, 1, "service.namespace", Namespace)
	r = appendString(r, 1, "service.version", s.version)
	r = appendString(r, 1, "service.instance.id", podName)
	r = appendString(r, 1, "deployment.environment.name", "production")
	r = appendString(r, 1, "telemetry.sdk.name", "opentelemetry")
	r = appendString(r, 1, "telemetry.sdk.language", s.language)
	r = appendString(r, 1, "telemetry.sdk.version", "1.38.0")
	r = appendString(r, 1, "k8s.pod.name", podName)
	r = appendString(r, 1, "host.name", host)
	r = appendString(r, 1, "cloud.region", []string{"eu-west-1", "eu-west-1", "eu-central-1"}[pod])
	r = appendInt(r, 1, "process.pid", int64(1000+37*pod+len(s.name)))
	return appendBytes(nil, 1, r)
}

// scopeField is the InstrumentationScope field of a ScopeSpans message.
func scopeField(s service, scope int) []byte {
	server := map[string]string{
		"nodejs": "@opentelemetry/instrumentation-http",
		"go":     "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
		"java":   "io.opentelemetry.spring-webmvc-6.0",
		"python": "opentelemetry.instrumentation.fastapi",
		"rust":   "opentelemetry-instrumentation-tower",
		"ruby":   "OpenTelemetry::Instrumentation::Rack",
	}
	client := map[string]string{
		"nodejs": "@opentelemetry/instrumentation-undici",
		"go":     "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
		"java":   "io.opentelemetry.jdbc",
		"python": "opentelemetry.instrumentation.psycopg",
		"rust":   "opentelemetry-sqlx",
		"ruby":   "OpenTelemetry::Instrumentation::Net::HTTP",
	}
	var f []byte
	switch scope {
	case scopeServer:
		f = appendText(f, 1, server[s.language])
		f = appendText(f, 2, "0.63.0")
	case scopeClient:
		f = appendText(f, 1, client[s.language])
		f = appendText(f, 2, "0.63.0")
	default:
		f = appendText(f, 1, "shop/"+s.name)
		f = appendText(f, 2, s.version)
		f = appendString(f, 3, "team", "shop-"+s.name)
	}
	return appendBytes(nil, 1, f)
}

// schemaField is the schema_url field, number 3 in both ResourceSpans and ScopeSpans.
func schemaField() []byte {
	return appendText(nil, 3, "https://opentelemetry.io/schemas/1.37.0")
}
