# What `make dist` makes, for whoever has Docker and nothing else:
#
#   SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx build \
#     --platform linux/amd64,linux/arm64,linux/arm/v7,linux/arm/v6 --output out .
#
# It leaves tarballs, Debian packages, bills of materials and SHA256SUMS, in out/linux_arm64 and so on.
# All of it is compiled on the machine that builds, for the others with zig; nothing but the last step
# of the installer's image is emulated. It takes an hour and more. (Not run yet to its end: the machine that
# it was written on reaches no registry of images. The installer's image was built, for amd64.)
#
# The image of the node installer (k8s/README.md):
#
#   docker buildx build --target installer --platform linux/amd64,linux/arm64,linux/arm/v7 \
#     --tag registry.example.com/containerd-shim-ssr-installer --push .
#
# With --build-context program=DIRECTORY it takes containerd-shim-ssr-v1 from there, as it is in a
# tarball's bin, instead of building it: for one platform.

FROM --platform=$BUILDPLATFORM node:22-bookworm-slim AS node

# Debian 12, whose libseccomp is built as a static library.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && apt-get update
WORKDIR /src
COPY . .
# An ssr that runs here: it compiles the engine's machine code, for every processor.
RUN make build && scripts/setup.sh dist
ARG SOURCE_DATE_EPOCH
ARG TARGETARCH TARGETVARIANT
RUN scripts/dist.sh "$TARGETARCH$TARGETVARIANT"

FROM scratch AS program
ARG TARGETARCH TARGETVARIANT
COPY --from=build /src/target/dist-build/with-engines/$TARGETARCH$TARGETVARIANT/containerd-shim-ssr-v1 /

FROM debian:forky-slim AS installer
# nsenter is util-linux's.
RUN apt-get update && apt-get install --yes --no-install-recommends kubectl util-linux && rm -rf /var/lib/apt/lists/*
COPY --from=program /containerd-shim-ssr-v1 /usr/local/bin/

FROM scratch
COPY --from=build /src/target/dist/ /
