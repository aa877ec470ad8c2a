/** Bodies on their way: framing, backpressure both ways, and answers that come early, late or in parts. */
import type { Peer } from '../support/peer.ts'
import { codeOf, eventually, get, ok, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const MIB = 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 'x')
/** What kernel and sockets on both sides may hold together; the proxy itself keeps no more than a few pieces. */
const MAX_IN_FLIGHT = 24 * MIB

/** Waits until the bytes that a flooding peer has got rid of no longer grow; returns how many they are. */
async function standstill(peer: Peer): Promise<number> {
  let last = -1
  let same = 0
  await eventually(() => {
    const sent = peer.socket.bytesWritten - peer.socket.writableLength
    same = sent === last ? same + 1 : 0
    last = sent
    return same >= 30
  })
  return last
}

await proxyTest(
  'a client that does not read stops the deployment, and loses nothing',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    client.socket.pause()
    const total = 64 * MIB
    await upstream.send(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`)
    const heapBefore = process.memoryUsage().arrayBuffers
    upstream.flood(PIECE, total)
    const stopped = await standstill(upstream)
    t.ok(stopped < MAX_IN_FLIGHT, `the deployment got rid of ${stopped} bytes`)
    t.ok(
      process.memoryUsage().arrayBuffers - heapBefore < 8 * MIB,
      'nothing piles up in the process',
    )
    let received = 0
    client.socket.removeAllListeners('data')
    client.socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    client.socket.resume()
    await eventually(() => received > total)
    t.ok(received > total, 'then everything arrives')
  },
)

await proxyTest(
  'a deployment that does not read stops the client, and loses nothing',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    const total = 64 * MIB
    await client.send(`POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: ${total}\r\n\r\n`)
    const upstream = await deployment.next()
    await upstream.readHead()
    upstream.socket.pause()
    client.flood(PIECE, total)
    const stopped = await standstill(client)
    t.ok(stopped < MAX_IN_FLIGHT, `the client got rid of ${stopped} bytes`)
    let received = 0
    upstream.socket.removeAllListeners('data')
    upstream.socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    upstream.socket.resume()
    await eventually(() => received >= total)
    t.equal(received, total)
    await upstream.send(ok())
    t.equal((await readAnswer(client)).status, 200)
  },
)

await proxyTest(
  'a slow deployment is not the fault of the client: it gets 504, not 408',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { body: '300ms', response: '300ms' } })
    const client = await lab.client(proxy)
    await client.send(`POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: ${64 * MIB}\r\n\r\n`)
    const upstream = await deployment.next()
    await upstream.readHead()
    upstream.socket.pause()
    client.flood(PIECE, 64 * MIB)
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_timeout')
  },
)

await proxyTest('each piece of a body goes on at once, both ways', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(post('', 'transfer-encoding: chunked\r\n'))
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
  await client.readHead()
  for (const piece of ['a', 'bc', 'def']) {
    await client.send(`${piece.length}\r\n${piece}\r\n`)
    t.equal(await upstream.read(`${piece}\r\n`), `${piece.length}\r\n${piece}\r\n`)
    await upstream.send(`${piece.length}\r\n${piece}\r\n`)
    t.equal(await client.read(`${piece}\r\n`), `${piece.length}\r\n${piece}\r\n`)
  }
  await client.send('0\r\n\r\n')
  t.equal(await upstream.read('0\r\n\r\n'), '0\r\n\r\n')
  await upstream.send('0\r\n\r\n')
  t.equal(await client.read('0\r\n\r\n'), '0\r\n\r\n')
})

await proxyTest('chunks are framed anew: no extension and no odd size passes', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(post('0003;a="b"\r\nabc\r\n000\r\n\r\n', 'Transfer-Encoding: Chunked\r\n'))
  const upstream = await deployment.next()
  t.match(await upstream.readHead(), 'transfer-encoding: chunked\r\n')
  t.equal(await upstream.read('0\r\n\r\n'), '3\r\nabc\r\n0\r\n\r\n')
  await upstream.send(
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n02;x\r\nhi\r\n0\r\n\r\n',
  )
  await client.readHead()
  t.equal(await client.read('0\r\n\r\n'), '2\r\nhi\r\n0\r\n\r\n')
})

await proxyTest('trailers pass both ways, but for those that frame or identify', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  const trailers =
    'x-sum: 1\r\nx-amt-tenant: globex\r\nx-request-id: z\r\nauthorization: Basic eA==\r\n'
  await client.send(
    post(`1\r\na\r\n0\r\n${trailers}\r\n`, 'trailer: x-sum\r\ntransfer-encoding: chunked\r\n'),
  )
  const upstream = await deployment.next()
  t.match(await upstream.readHead(), 'trailer: x-sum\r\n')
  t.equal(await upstream.readHead(), '1\r\na\r\n0\r\nx-sum: 1\r\n\r\n')
  await upstream.send(
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n1\r\nb\r\n0\r\nx-sum: 2\r\nx-amt-secret: 1\r\n\r\n',
  )
  t.match(await client.readHead(), 'trailer: x-sum\r\n')
  t.equal(await client.readHead(), '1\r\nb\r\n0\r\nx-sum: 2\r\n\r\n')
})

await proxyTest(
  'an answer until close comes in chunks, and the connection of the client stays',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.0 200 OK\r\n\r\nabc')
    t.match(await client.readHead(), 'transfer-encoding: chunked\r\n')
    t.equal(await client.read('abc\r\n'), '3\r\nabc\r\n')
    upstream.end()
    t.equal(await client.read('0\r\n\r\n'), '0\r\n\r\n')
    await client.send(get())
    const second = await deployment.next()
    await second.readHead()
    await second.send(ok('again'))
    t.equal((await readAnswer(client)).body, 'again')
  },
)

await proxyTest('an answer until close that is reset is never finished', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\n\r\nabc')
  await client.read('abc')
  upstream.reset()
  await client.until(() => client.ended || client.closed, 'the client is cut')
  t.notMatch(client.text, '0\r\n\r\n')
})

await proxyTest(
  'a client of HTTP/1.0 gets no chunks, and its connection ends the body',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.0\r\nhost: acme.test\r\n\r\n')
    const upstream = await deployment.next()
    t.match(await upstream.readHead(), 'GET / HTTP/1.1\r\n')
    await upstream.send(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    )
    const head = await client.readHead()
    t.match(head, 'connection: close\r\n')
    t.notMatch(head, /transfer-encoding|content-length/i)
    t.equal(await client.readToEnd(), 'abcde')
  },
)

await proxyTest('a client of HTTP/1.0 sees a cut answer as cut', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send('GET / HTTP/1.0\r\nhost: acme.test\r\n\r\n')
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await client.read('abc')
  upstream.destroy()
  await client.gone()
  t.equal(client.error, 'ECONNRESET', 'a plain end would look like the whole answer')
})

await proxyTest('a client of HTTP/1.0 can keep its connection', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send('GET / HTTP/1.0\r\nhost: acme.test\r\nconnection: keep-alive\r\n\r\n')
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok('one'))
  t.match((await readAnswer(client)).head, 'connection: keep-alive\r\n')
  await client.send('GET / HTTP/1.0\r\nhost: acme.test\r\n\r\n')
  await upstream.readHead()
  await upstream.send(ok('two'))
  t.match((await readAnswer(client)).head, 'connection: close\r\n')
  await client.readToEnd()
})

const BODILESS: Record<string, [request: string, answer: string, lines: RegExp]> = {
  HEAD: [
    get().replace('GET', 'HEAD'),
    'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n',
    /content-length: 1000\r\n/,
  ],
  'HEAD of chunks': [
    get().replace('GET', 'HEAD'),
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
    /HTTP\/1.1 200/,
  ],
  '204': [get(), 'HTTP/1.1 204 No Content\r\n\r\n', /HTTP\/1.1 204 No Content\r\n/],
  '304': [
    get(),
    'HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: "a"\r\n\r\n',
    /content-length: 7\r\n/,
  ],
}
for (const [name, [request, answer, lines]] of Object.entries(BODILESS)) {
  await proxyTest(`an answer without a body ends with its head: ${name}`, async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(request)
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(answer)
    t.match(await client.readHead(), lines)
    await client.send(get())
    await upstream.readHead()
    await upstream.send(ok('next'))
    t.equal((await readAnswer(client)).body, 'next')
  })
}

await proxyTest('100-continue is the word of the deployment, at its time', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(post('', 'content-length: 3\r\nexpect: 100-continue\r\n'))
  const upstream = await deployment.next()
  t.match(
    await upstream.readHead(),
    'expect: 100-continue\r\n',
    'the head goes on before any of the body',
  )
  t.equal(client.total, 0, 'the proxy does not speak for the deployment')
  await upstream.send('HTTP/1.1 100 Continue\r\n\r\n')
  t.match(await client.readHead(), /^HTTP\/1\.1 100 Continue\r\n/)
  await client.send('abc')
  t.equal(await upstream.readBytes(3), 'abc')
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
})

await proxyTest(
  'a final answer instead of 100 ends the connection: nobody knows whether the body still comes',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(post('', 'content-length: 3\r\nexpect: 100-continue\r\n'))
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    const { status, head } = await readAnswer(client)
    t.equal(status, 403)
    t.match(head, 'connection: close\r\n')
    await client.readToEnd()
    await upstream.until(
      () => upstream.ended || upstream.closed,
      'a half-used connection is closed',
    )
  },
)

await proxyTest(
  '103 and its fields pass, as often as they come; HTTP/1.0 gets none',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n'
    await upstream.send(hints)
    t.equal(await client.readHead(), hints)
    await upstream.send(hints)
    t.equal(await client.readHead(), hints)
    await upstream.send(ok())
    t.equal((await readAnswer(client)).status, 200)
    const old = await lab.client(proxy)
    await old.send('GET / HTTP/1.0\r\nhost: acme.test\r\n\r\n')
    await upstream.readHead()
    await upstream.send(hints + ok())
    t.match(await old.readHead(), /^HTTP\/1\.1 200/)
  },
)

await proxyTest(
  'an answer before the end of a small body is delivered, and the connection goes on',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(post('ab', 'content-length: 6\r\n'))
    const upstream = await deployment.next()
    await upstream.read('ab')
    await upstream.send(ok('early'))
    t.equal((await readAnswer(client)).body, 'early')
    await upstream.until(() => upstream.ended || upstream.closed, 'its connection is closed')
    await client.send(`cdef${get('/next')}`)
    const second = await deployment.next()
    t.match(await second.readHead(), 'GET /next ')
    await second.send(ok('next'))
    t.equal((await readAnswer(client)).body, 'next')
  },
)

await proxyTest(
  'an answer before the end of a large body arrives, though the client is still sending',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    client.socket.pause()
    await client.send(`POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: ${64 * MIB}\r\n\r\n`)
    const upstream = await deployment.next()
    await upstream.readHead()
    client.flood(PIECE, 32 * MIB)
    await upstream.send('HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge')
    client.socket.resume()
    t.match(await client.read('large'), /^HTTP\/1\.1 413 /)
  },
)

await proxyTest(
  'the last answer of a connection arrives whole at clients that are slow to read it',
  async (t, lab) => {
    const deployment = await lab.deployment({
      serve: async peer => {
        const size = Number(/GET \/(\d+) /.exec(await peer.readHead())?.[1])
        // It answers once a connection: one that came back to the pool would leave the next call without an answer.
        await peer.send(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${size}\r\n\r\n`)
        peer.flood(PIECE, size)
      },
    })
    const proxy = await lab.forOne(deployment)
    const ask = async (size: number): Promise<Peer> => {
      const client = await lab.client(proxy)
      client.socket.pause()
      await client.send(get(`/${size}`, 'connection: close\r\n'))
      return client
    }
    // What the kernel takes of an answer for a client that does not read.
    await ask(64 * MIB)
    const flooding = await deployment.next()
    await eventually(() => flooding.socket.writableLength > 0)
    await standstill(flooding)
    const capacity = proxy.totals().egress
    // Of some of these the proxy has the end in its own hands, and not the kernel.
    const sizes = Array.from(
      { length: 16 },
      (_, index) => (Math.ceil(capacity / PIECE.length) + index - 12) * PIECE.length,
    )
    const clients = await Promise.all(sizes.map(ask))
    // Longer than the proxy waits for a peer that has everything to close.
    await new Promise(resolve => setTimeout(resolve, 2_000))
    for (const client of clients) client.socket.resume()
    for (const [index, client] of clients.entries()) {
      await client.until(() => client.ended || client.closed, 'the end of the answer')
      t.ok(client.total > (sizes[index] ?? 0), `${client.total} of ${sizes[index]} bytes`)
    }
  },
)
