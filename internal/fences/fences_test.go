package fences

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// core are the packages that decide, and the ones they are made of. Live processing and replay share exactly these.
var core = []string{"sampler", "policies", "buffer", "internal/wire", "internal/suggest", "internal/tracestate"}

// out of reach of the core, directly and through others.
var unreachable = []string{
	"net", "net/http", "log", "log/slog", "crypto/rand", "os/exec", "os/signal", "testing",
	"github.com/twmb/", "go.opentelemetry.io/", "github.com/prometheus/", "google.golang.org/grpc",
	"thresher/cmd", "thresher/internal/kafka", "thresher/internal/node", "thresher/internal/export", "thresher/internal/receive", "thresher/internal/config",
}

// out of direct reach: the standard library itself cannot do without these (math/big imports math/rand).
var undirect = []string{"math/rand", "math/rand/v2", "os", "io/fs", "time", "sync", "sync/atomic", "runtime", "runtime/debug", "unsafe", "context", "path/filepath"}

func TestCoreCannotReachTheWorld(t *testing.T) {
	args := []string{"list", "-deps", "-json=ImportPath,Imports"}
	for _, p := range core {
		args = append(args, "thresher/"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		for _, bad := range unreachable {
			if p.ImportPath == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(p.ImportPath, bad) {
				t.Errorf("the core reaches %s", p.ImportPath)
			}
		}
		own, ok := strings.CutPrefix(p.ImportPath, "thresher/")
		if !ok {
			continue
		}
		seen++
		require.Contains(t, core, own, "the core reaches a package that is not of it")
		for _, i := range p.Imports {
			for _, bad := range undirect {
				if i == bad {
					t.Errorf("%s imports %s", p.ImportPath, bad)
				}
			}
		}
	}
	require.Equal(t, len(core), seen)
}

func TestCoreHasNoConcurrency(t *testing.T) {
	for _, dir := range core {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				what := ""
				switch n := n.(type) {
				case *ast.GoStmt:
					what = "a goroutine"
				case *ast.ChanType, *ast.SelectStmt:
					what = "a channel"
				case *ast.FuncDecl:
					if n.Name.Name == "init" && n.Recv == nil {
						what = "an init function"
					}
				}
				if what != "" {
					t.Errorf("%s: %s in the core", files.Position(n.Pos()), what)
				}
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
}
