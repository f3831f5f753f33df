# The program without libtorch. This file was only written: it has never been built or run.
#
#     docker build -t mnist .
#     docker run --rm -v "$PWD:/data:ro" mnist predict digit.png
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --no-default-features --features serve --bin mnist

# Debian 12 as above, with glibc and libgcc, no shell, and a user that is not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/mnist /usr/bin/mnist
WORKDIR /data
ENTRYPOINT ["/usr/bin/mnist"]
