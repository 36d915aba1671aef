// Renders pages of a site's module in wazero for bench-render: `wazero-render ssr.wasm`. Reads one
// {page, times, request} per line from stdin, the request encoded for the guest and in hexadecimal,
// and answers each with {microseconds, size}: the mean processor time of a render, and the page's
// bytes. Each render has an instance of its own, as ours do. An interpreter takes a hundred times
// longer than the others: it renders one page where they render so many.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const rendersOfOthers = 100

type order struct {
	Times   int
	Request string
}

type answer struct {
	Microseconds float64 `json:"microseconds"`
	Size         int     `json:"size"`
}

// What a render has sent, and why it failed.
type page struct {
	size   int
	ended  bool
	failed string
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "wazero-render:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	ctx := context.Background()
	module, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(ctx)
	var sent page
	if err := provideHost(ctx, runtime, &sent); err != nil {
		return err
	}
	compiled, err := runtime.CompileModule(ctx, module)
	if err != nil {
		return err
	}
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 1<<20)
	for orders.Scan() {
		var order order
		if err := json.Unmarshal(orders.Bytes(), &order); err != nil {
			return err
		}
		request, err := hex.DecodeString(order.Request)
		if err != nil {
			return err
		}
		times := max(1, order.Times/rendersOfOthers)
		start := processorTime()
		for range times {
			sent = page{}
			if err := render(ctx, runtime, compiled, request); err != nil {
				return err
			}
			if sent.failed != "" || !sent.ended {
				return fmt.Errorf("the render failed: %q", sent.failed)
			}
		}
		spent := (processorTime() - start) / float64(times)
		if err := json.NewEncoder(os.Stdout).Encode(answer{spent, sent.size}); err != nil {
			return err
		}
	}
	return orders.Err()
}

func render(ctx context.Context, runtime wazero.Runtime, compiled wazero.CompiledModule, request []byte) error {
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return err
	}
	defer instance.Close(ctx)
	room, err := instance.ExportedFunction("ssr_input").Call(ctx, uint64(len(request)))
	if err != nil {
		return err
	}
	if !instance.Memory().Write(uint32(room[0]), request) {
		return fmt.Errorf("no room for the request")
	}
	_, err = instance.ExportedFunction("ssr_render").Call(ctx)
	return err
}

// provideHost is the host's side of the render ABI, as far as a page in one piece needs it.
func provideHost(ctx context.Context, runtime wazero.Runtime, sent *page) error {
	text := func(module api.Module, at, length uint32) string {
		bytes, _ := module.Memory().Read(at, length)
		return string(bytes)
	}
	host := runtime.NewHostModuleBuilder("ssr_v1")
	for name, function := range map[string]any{
		"respond": func(status, headers, length, streaming uint32) {},
		"write":   func(at, length uint32) { sent.size += int(length) },
		"end":     func() { sent.ended = true },
		"fail": func(_ context.Context, module api.Module, kind, message, messageLength, stack, stackLength uint32) {
			sent.failed = text(module, message, messageLength) + "\n" + text(module, stack, stackLength)
		},
		"log": func(_ context.Context, module api.Module, level, at, length uint32) {
			fmt.Fprintln(os.Stderr, text(module, at, length))
		},
		"sleep": func(milliseconds float64) {},
	} {
		host.NewFunctionBuilder().WithFunc(function).Export(name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		return err
	}
	_, err := wasi_snapshot_preview1.Instantiate(ctx, runtime)
	return err
}

// processorTime is this process's, in microseconds.
func processorTime() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e3
}
