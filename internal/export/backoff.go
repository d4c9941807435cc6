package export

import (
	"time"

	"go.opentelemetry.io/collector/config/configretry"
)

// shortestPause keeps an initial_interval of zero from becoming a busy loop.
const shortestPause = 10 * time.Millisecond

// backOff is the pause after a number of earlier failures: exponential up to max_interval, spread by
// randomization_factor so that the nodes of a cluster do not knock at the same moment. random is in [0, 1).
func backOff(cfg configretry.BackOffConfig, failures int, random float64) time.Duration {
	pause := float64(max(cfg.InitialInterval, shortestPause))
	most := float64(max(cfg.MaxInterval, shortestPause))
	for range failures {
		if pause >= most {
			break
		}
		pause *= max(cfg.Multiplier, 1)
		if cfg.Multiplier <= 1 {
			break
		}
	}
	pause = min(pause, most)
	pause *= 1 + cfg.RandomizationFactor*(2*random-1)
	return max(time.Duration(pause), shortestPause)
}
