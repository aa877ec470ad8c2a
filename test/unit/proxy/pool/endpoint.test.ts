import { test } from 'tap'
import { Endpoint } from '../../../../src/proxy/pool/endpoint.ts'

await test('a URL says host, port and scheme, in brackets too', async t => {
  t.match(new Endpoint('http://10.0.0.9:8080'), {
    host: '10.0.0.9',
    port: 8080,
    tls: false,
    authority: '10.0.0.9:8080',
    tlsOptions: undefined,
  })
  t.match(new Endpoint('tls://[2001:db8::1]:443'), {
    host: '2001:db8::1',
    authority: '[2001:db8::1]:443',
    tls: true,
  })
})

await test('h2 and h2c are HTTP/2, and what has TLS demands it by ALPN', t => {
  const ca = 'an authority'
  t.match(new Endpoint('h2c://10.0.0.9:8080'), { tls: false, http2: true, tlsOptions: undefined })
  const secure = new Endpoint('h2://web.test:443', { address: '10.0.0.1', tls: { ca } })
  t.match(secure, { host: '10.0.0.1', tls: true, http2: true })
  t.same(secure.tlsOptions, { ca, servername: 'web.test', ALPNProtocols: ['h2'] })
  t.match(new Endpoint('https://web.test:443'), { tls: true, http2: false })
  t.match(new Endpoint('tcp://10.0.0.9:1'), { tls: false, http2: false })
  t.end()
})

await test('an address is connected to, and the name is what the certificate must have', async t => {
  const ca = 'an authority'
  const named = new Endpoint('https://web.test:443', { address: '10.0.0.1', tls: { ca } })
  t.match(named, { host: '10.0.0.1', authority: 'web.test:443' })
  t.same(named.tlsOptions, { ca, servername: 'web.test' })
  const other = new Endpoint('https://web.test:443', { tls: { servername: 'other.test' } })
  t.same(other.tlsOptions, { servername: 'other.test' }, 'unless another one is configured')
  t.same(new Endpoint('https://10.0.0.1:443', { tls: { ca } }).tlsOptions, { ca })
})
