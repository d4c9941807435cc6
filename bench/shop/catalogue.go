package shop

import "time"

type opKind uint8

const (
	httpServer opKind = iota
	httpClient
	rpcServer
	rpcClient
	database
	cache
	producer
	consumer
	internal
	probe
)

// An op is one kind of span: the operation of one service.
type op struct {
	service int
	kind    opKind
	name    string
	detail  string        // route, statement, topic: what the attributes tell
	peer    int           // the service called, of clients
	takes   time.Duration // typical time of its own, calls below it not counted
}

// scope of the service's instrumentation that makes spans of this kind.
func (o *op) scope() int {
	switch o.kind {
	case httpServer, rpcServer, consumer, probe:
		return scopeServer
	case httpClient, rpcClient, database, cache, producer:
		return scopeClient
	default:
		return scopeApp
	}
}

// A node is an op and what is called from within it.
type node struct {
	op    uint16
	calls []call
}

// A call happens with some chance, some number of times, one after the other or all at once.
type call struct {
	node     *node
	chance   float64
	min, max int
	parallel bool
}

func (c call) maybe(chance float64) call { c.chance = chance; return c }

func (c call) times(least, most int) call { c.min, c.max = least, most; return c }

func (c call) atOnce() call { c.parallel = true; return c }

type route struct {
	weight int
	root   *node
}

type catalogue struct {
	ops    []op
	index  map[op]uint16
	routes []route // requests of users
	large  []route // requests of more than a hundred spans
	probes []route // health checks, one a service
}

func (c *catalogue) op(o op) uint16 {
	if i, ok := c.index[o]; ok {
		return i
	}
	i := uint16(len(c.ops))
	c.ops = append(c.ops, o)
	c.index[o] = i
	return i
}

func (c *catalogue) node(o op, calls []call) *node { return &node{c.op(o), calls} }

func once(n *node) call { return call{node: n, chance: 1, min: 1, max: 1} }

// http is a client span in one service around a server span in the other.
func (c *catalogue) http(from, to int, method, path string, takes time.Duration, calls ...call) call {
	server := c.node(op{service: to, kind: httpServer, name: method + " " + path, detail: path, takes: takes}, calls)
	return once(c.node(op{service: from, kind: httpClient, name: method, detail: path, peer: to, takes: time.Millisecond},
		[]call{once(server)}))
}

func (c *catalogue) rpc(from, to int, method string, takes time.Duration, calls ...call) call {
	server := c.node(op{service: to, kind: rpcServer, name: method, detail: method, takes: takes}, calls)
	return once(c.node(op{service: from, kind: rpcClient, name: method, detail: method, peer: to, takes: time.Millisecond},
		[]call{once(server)}))
}

func (c *catalogue) db(in int, name, statement string, takes time.Duration) call {
	return once(c.node(op{service: in, kind: database, name: name, detail: statement, takes: takes}, nil))
}

func (c *catalogue) cache(in int, name, statement string) call {
	return once(c.node(op{service: in, kind: cache, name: name, detail: statement, takes: 400 * time.Microsecond}, nil))
}

func (c *catalogue) work(in int, name string, takes time.Duration) call {
	return once(c.node(op{service: in, kind: internal, name: name, detail: name, takes: takes}, nil))
}

// message is a producer span with the consumer's below it.
func (c *catalogue) message(from, to int, topic string, takes time.Duration, calls ...call) call {
	read := c.node(op{service: to, kind: consumer, name: "process " + topic, detail: topic, takes: takes}, calls)
	return once(c.node(op{service: from, kind: producer, name: "send " + topic, detail: topic, peer: to, takes: time.Millisecond},
		[]call{once(read)}))
}

func (c *catalogue) page(weight int, name string, takes time.Duration, calls ...call) route {
	return route{weight, c.node(op{service: frontend, kind: httpServer, name: "GET " + name, detail: name, takes: takes}, calls)}
}

func (c *catalogue) post(weight int, name string, takes time.Duration, calls ...call) route {
	return route{weight, c.node(op{service: frontend, kind: httpServer, name: "POST " + name, detail: name, takes: takes}, calls)}
}

const ms = time.Millisecond

func newCatalogue() *catalogue {
	c := &catalogue{index: map[op]uint16{}}

	verify := c.rpc(gateway, auth, "shop.Auth/Verify", 2*ms, c.cache(auth, "GET session", "GET session:{id}"))
	recommend := c.rpc(gateway, recommendation, "shop.Recommendation/List", 9*ms,
		c.cache(recommendation, "GET profile", "GET profile:{user}"),
		c.work(recommendation, "rank_candidates", 14*ms).maybe(0.6))
	stock := c.rpc(gateway, inventory, "shop.Inventory/Stock", 3*ms,
		c.db(inventory, "SELECT stock", "SELECT sku, units FROM stock WHERE sku = $1", 4*ms))
	getCart := c.http(gateway, cart, "GET", "/cart/{id}", 3*ms,
		c.cache(cart, "HGETALL cart", "HGETALL cart:{id}"))
	quote := c.http(checkout, shipping, "POST", "/quote", 6*ms,
		c.db(shipping, "SELECT tariffs", "SELECT zone, price FROM tariffs WHERE weight < $1", 3*ms))
	charge := c.rpc(checkout, payment, "shop.Payment/Charge", 12*ms,
		c.work(payment, "FraudCheck.score", 8*ms),
		c.db(payment, "INSERT payments", "INSERT INTO payments (id, amount) VALUES (?, ?)", 5*ms),
		c.http(payment, gateway, "POST", "/acquirer/charge", 60*ms))

	c.routes = []route{
		c.page(30, "/", 4*ms,
			c.http(frontend, gateway, "GET", "/api/home", 2*ms, verify, recommend, stock.maybe(0.5))),
		c.page(26, "/product/{id}", 3*ms,
			c.http(frontend, gateway, "GET", "/api/products/{id}", 2*ms, verify, stock, recommend.maybe(0.4)),
			c.work(frontend, "render product", 5*ms)),
		c.page(14, "/search", 3*ms,
			c.http(frontend, gateway, "GET", "/api/search", 3*ms, verify.maybe(0.5),
				c.rpc(gateway, inventory, "shop.Inventory/Search", 8*ms,
					c.db(inventory, "SELECT products", "SELECT id, name FROM products WHERE name ILIKE $1", 22*ms),
					c.db(inventory, "SELECT prices", "SELECT sku, price FROM prices WHERE sku = ANY($1)", 3*ms).times(1, 8))),
			c.work(frontend, "render results", 6*ms)),
		c.page(10, "/cart", 3*ms,
			c.http(frontend, gateway, "GET", "/api/cart", 2*ms, verify, getCart, stock.times(1, 5).atOnce())),
		c.post(10, "/cart/items", 3*ms,
			c.http(frontend, gateway, "POST", "/api/cart/items", 2*ms, verify, stock,
				c.http(gateway, cart, "POST", "/cart/{id}/items", 3*ms,
					c.cache(cart, "HSET cart", "HSET cart:{id} {sku} {units}"),
					c.message(cart, recommendation, "cart-events", 4*ms,
						c.db(recommendation, "UPDATE profile", "UPDATE profile SET seen = seen || $1 WHERE id = $2", 4*ms)).maybe(0.5)))),
		c.post(5, "/checkout", 5*ms,
			c.http(frontend, gateway, "POST", "/api/checkout", 3*ms, verify, getCart,
				c.rpc(gateway, checkout, "shop.Checkout/PlaceOrder", 9*ms,
					c.rpc(checkout, inventory, "shop.Inventory/Reserve", 4*ms,
						c.db(inventory, "UPDATE stock", "UPDATE stock SET units = units - $1 WHERE sku = $2", 7*ms)).times(1, 4),
					quote,
					charge,
					c.db(checkout, "INSERT orders", "INSERT INTO orders (id, tenant, total) VALUES ($1, $2, $3)", 6*ms),
					c.message(checkout, email, "order-confirmed", 10*ms,
						c.work(email, "Mailer#render", 12*ms),
						c.http(email, gateway, "POST", "/smtp/send", 30*ms)),
					c.message(checkout, shipping, "order-paid", 5*ms,
						c.db(shipping, "INSERT parcels", "INSERT INTO parcels (order_id, zone) VALUES ($1, $2)", 5*ms))))),
		c.post(5, "/login", 3*ms,
			c.http(frontend, gateway, "POST", "/api/login", 2*ms,
				c.rpc(gateway, auth, "shop.Auth/Login", 4*ms,
					c.db(auth, "SELECT users", "SELECT id, hash FROM users WHERE email = $1", 4*ms),
					c.work(auth, "argon2.verify", 45*ms),
					c.cache(auth, "SET session", "SET session:{id} {user} EX 3600")))),
	}

	c.large = []route{
		// A page that asks the database once for every line: the classic.
		c.page(3, "/orders/history", 6*ms,
			c.http(frontend, gateway, "GET", "/api/orders", 4*ms, verify,
				c.rpc(gateway, checkout, "shop.Checkout/History", 6*ms,
					c.db(checkout, "SELECT orders", "SELECT id, total FROM orders WHERE tenant = $1", 9*ms),
					c.db(checkout, "SELECT order_lines", "SELECT sku, units FROM order_lines WHERE order_id = $1", 2*ms).times(100, 220)))),
		c.post(1, "/admin/restock", 8*ms,
			c.http(frontend, gateway, "POST", "/api/restock", 4*ms, verify,
				c.rpc(gateway, inventory, "shop.Inventory/Restock", 5*ms,
					c.db(inventory, "UPDATE stock", "UPDATE stock SET units = units - $1 WHERE sku = $2", 7*ms)).times(45, 80).atOnce())),
	}

	for s := range serviceCount {
		n := c.node(op{service: s, kind: probe, name: "GET /healthz", detail: "/healthz", takes: 300 * time.Microsecond}, nil)
		if s == gateway || s == cart {
			n.calls = []call{c.cache(s, "PING", "PING")}
		}
		c.probes = append(c.probes, route{1, n})
	}
	return c
}
