/** What connections to deployments demand in the handshake: a certificate, and HTTP/2 where the endpoint is `h2`. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { type Test, test } from 'tap'
import { dial, readyEvent } from '../../../../src/proxy/pool/dial.ts'
import { Endpoint } from '../../../../src/proxy/pool/endpoint.ts'
import { upstreamConnectError } from '../../../../src/runtime/node-errors.ts'
import { TestAuthority } from '../../../support/certificates.ts'

const LOCAL_HEADER_OCTETS = 16

/** A deployment with TLS, behind a PROXY header (v2, of the proxy itself) where it is `announced`. */
async function deployment(
  t: Test,
  options: tls.TlsOptions,
  announced = false,
): Promise<{ port: number }> {
  const server = announced
    ? net.createServer(socket => {
        socket.on('error', () => {})
        socket.once('readable', () => {
          socket.read(LOCAL_HEADER_OCTETS)
          new tls.TLSSocket(socket, { isServer: true, ...options }).on('error', () => {})
        })
      })
    : tls.createServer(options, socket => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as net.AddressInfo).port }
}

/** `ready` with what was agreed to, or the error code of a connection that did not come about. */
async function reach(endpoint: Endpoint): Promise<string> {
  const socket = dial(endpoint, { allowHalfOpen: true })
  const result = await new Promise<string>(resolve => {
    socket.once(readyEvent(endpoint), () => {
      const agreed = socket instanceof tls.TLSSocket ? socket.alpnProtocol : false
      resolve(agreed === false ? 'ready' : `ready ${String(agreed)}`)
    })
    socket.once('error', error => resolve(upstreamConnectError(error)))
  })
  socket.destroy()
  return result
}

await test('to an h2 endpoint, with a PROXY header or without, h2 is what is spoken', async t => {
  const ca = await TestAuthority.create(t)
  const { cert, key } = await ca.server(['h2.test'], ['127.0.0.1'])
  const options = { cert, key, ALPNProtocols: ['http/1.1', 'h2'] }
  const trusted = { tls: { ca: ca.cert } }
  const plain = await deployment(t, options)
  t.equal(await reach(new Endpoint(`h2://127.0.0.1:${plain.port}`, trusted)), 'ready h2')
  const behind = await deployment(t, options, true)
  const url = `h2://127.0.0.1:${behind.port}`
  t.equal(await reach(new Endpoint(url, { ...trusted, proxyProtocol: 2 })), 'ready h2')
})

await test('a deployment that does not agree to h2 is not reached: upstream_protocol', async t => {
  const ca = await TestAuthority.create(t)
  const { cert, key } = await ca.server(['h2.test'], ['127.0.0.1'])
  const trusted = { tls: { ca: ca.cert } }
  const silent = await deployment(t, { cert, key })
  t.equal(await reach(new Endpoint(`h2://127.0.0.1:${silent.port}`, trusted)), 'upstream_protocol')
  const alert = await deployment(t, { cert, key, ALPNProtocols: ['http/1.1'] })
  t.equal(await reach(new Endpoint(`h2://127.0.0.1:${alert.port}`, trusted)), 'upstream_protocol')
  t.equal(
    await reach(new Endpoint(`https://127.0.0.1:${silent.port}`, trusted)),
    'ready',
    'HTTP/1.1 is offered nothing, and needs nothing',
  )
  t.equal(await reach(new Endpoint(`tls://127.0.0.1:${alert.port}`, trusted)), 'ready')
})

await test('a wrong certificate is told as such, whatever is agreed to', async t => {
  const ca = await TestAuthority.create(t)
  const { cert, key } = await ca.server(['other.test'])
  const wrong = await deployment(t, { cert, key, ALPNProtocols: ['h2'] })
  const url = `h2://127.0.0.1:${wrong.port}`
  t.equal(await reach(new Endpoint(url, { tls: { ca: ca.cert } })), 'upstream_tls')
  t.equal(await reach(new Endpoint(url)), 'upstream_tls')
})

await test('an h2c endpoint is reached without TLS', async t => {
  const server = net.createServer(socket => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo
  t.equal(await reach(new Endpoint(`h2c://127.0.0.1:${port}`)), 'ready')
})
