package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page that lists all goroutines has a row for each place in the program that starts one.
func TestGoroutinesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/goroutines.md")
	require.NoError(t, err)
	rows := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]*)` \\|").FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(row[1], ".") { // not a library
			rows[row[1]]++
		}
	}
	starts := map[string]int{}
	for _, dir := range []string{"cmd", "internal", "policies", "buffer", "sampler"} {
		require.NoError(t, filepath.WalkDir("../../"+dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				countStarts(t, path, starts)
			}
			return err
		}))
	}
	require.Greater(t, len(starts), 10)
	assert.Equal(t, starts, rows, "docs/goroutines.md needs a row for each place that starts a goroutine, and no others")
}

// countStarts adds how many goroutines each function of a file starts.
func countStarts(t *testing.T, path string, starts map[string]int) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../")
	for _, decl := range file.Decls {
		name := folder + ".var"
		if f, ok := decl.(*ast.FuncDecl); ok {
			name = folder + "." + f.Name.Name
			if f.Recv != nil {
				name = folder + "." + typeName(f.Recv.List[0].Type) + "." + f.Name.Name
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				starts[name]++
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Go" || f.Sel.Name == "TryGo" || f.Sel.Name == "AfterFunc") {
					starts[name]++
				}
			}
			return true
		})
	}
}

// typeName is the name of a receiver's type.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
