/** h2spec against the proxy, strict, in cleartext and over TLS, before deployments of both versions: every case passes. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { type Test, test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { runCommand, skipWithout } from '../support/program.ts'
import { startProxy } from '../support/start-proxy.ts'

/** No package of Debian: a program in Go. */
const WITHOUT_H2SPEC = skipWithout({
  h2spec: 'none: go install github.com/summerwind/h2spec/cmd/h2spec@latest',
})
/** Other than 127.0.0.1, at which every listener of a test is. */
const ADDRESS = '127.0.9.1'

async function started(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Deployments that read each request to its end, and then greet. */
const DEPLOYMENTS: Readonly<Record<string, (t: Test) => Promise<string>>> = {
  'HTTP/1.1': async t => {
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.end('hello\n'))
    })
    t.teardown(() => server.closeAllConnections())
    return `http://127.0.0.1:${await started(t, server)}`
  },
  'HTTP/2': async t => {
    const server = createHttp2Server((request, response) => {
      request.resume().on('end', () => response.end('hello\n'))
    })
    return `h2c://127.0.0.1:${await started(t, server)}`
  },
}

/** A proxy at whose one address all traffic is of one tenant, whatever host h2spec asks for. */
async function proxyPort(t: Test, endpoint: string, secure: boolean): Promise<number> {
  const [port = 0] = await freePorts(1)
  const tls = secure ? { tls: { certificates: [await certificate(t)] } } : {}
  const proxy = await startProxy({
    listeners: [{ name: 'private', mode: 'private', port, ...tls }],
    tenants: [{ id: 'acme', address: ADDRESS, deployment: { endpoints: [endpoint] } }],
  })
  t.teardown(() => proxy.close())
  return port
}

async function certificate(t: Test): Promise<{ cert: string; key: string }> {
  const authority = await TestAuthority.create(t)
  const { certPath, keyPath } = await authority.server(['acme.test'], [ADDRESS])
  return { cert: certPath, key: keyPath }
}

for (const [version, start] of Object.entries(DEPLOYMENTS)) {
  for (const secure of [false, true]) {
    const how = secure ? 'over TLS' : 'in cleartext'
    await test(`h2spec, strict, ${how}, before ${version}: every case`, {
      skip: WITHOUT_H2SPEC,
    }, async t => {
      const port = await proxyPort(t, await start(t), secure)
      const tls = secure ? ['-t', '-k'] : []
      const args = ['-S', '-h', ADDRESS, '-p', String(port), ...tls]
      const said = (await runCommand(['h2spec', args])).stdout.toString()
      const passed = /146 tests, 146 passed, 0 skipped, 0 failed/.test(said)
      if (!passed) t.comment(said.slice(-6_000))
      t.ok(passed, 'all 146 cases pass')
    })
  }
}
