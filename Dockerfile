# AMT as a container: one process tree (the primary is process 1 and ends with its workers), nobody's user, nothing to write
# but /var/lib/amt. Build it at the root of a checkout: docker build -t amt .
ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# The one package with an install script is a Node for checkouts; the image has its own.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="AMT" \
  org.opencontainers.image.description="Auto Multi-Tenancy: proxy, mixer and tools" \
  org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/amt
COPY package.json ./
COPY bin bin
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/dist dist
# Where journals and the ledger are: a volume, or usage that has not been shipped ends with the container.
RUN ln -s /opt/amt/bin/amt /usr/local/bin/amt && install -d -o 10001 -g 10001 -m 0750 /var/lib/amt
ENV NODE_ENV=production AMT_STATE=/var/lib/amt
VOLUME /var/lib/amt
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
EXPOSE 8080 8443
# The proxy drains on SIGTERM; give it more time than `drain` says (docs/operations.md).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["amt", "health", "--config", "/etc/amt/amt.yaml"]
ENTRYPOINT ["amt"]
CMD ["proxy", "--config", "/etc/amt/amt.yaml"]
