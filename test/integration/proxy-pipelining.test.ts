/** Calls that a client sends before it has read the answers of former ones: in order, and bounded. */

import { answering } from '../support/manual-deployment.ts'
import { codeOf, eventually, get, ok, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const MIB = 1024 * 1024

await proxyTest(
  'pipelined calls are answered in order, one at the deployment at a time',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/1') + post('body') + get('/3'))
    const upstream = await deployment.next()
    t.match(await upstream.readHead(), 'GET /1 ')
    await upstream.send(ok('one'))
    t.match(await upstream.read('body'), 'POST / ')
    t.equal(upstream.text, '', 'the third waits for the second')
    await upstream.send(ok('two'))
    t.match(await upstream.readHead(), 'GET /3 ')
    await upstream.send(ok('three'))
    for (const body of ['one', 'two', 'three']) t.equal((await readAnswer(client)).body, body)
  },
)

await proxyTest(
  'a client that ends behind its pipelined calls still gets all answers',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get().repeat(50))
    client.end()
    for (let call = 0; call < 50; call++) t.equal((await readAnswer(client)).body, 'x')
    t.equal(await client.readToEnd(), '')
    await client.gone()
  },
)

await proxyTest(
  'a client that ends behind one call gets its answer, when it comes',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    client.end()
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('late'))
    t.equal((await readAnswer(client)).body, 'late')
    await client.gone()
  },
)

await proxyTest(
  'half a call behind a whole one is dropped at the end of the client',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(`${get()}GET / HT`)
    client.end()
    t.equal((await readAnswer(client)).body, 'x')
    t.equal(await client.readToEnd(), '')
    await client.gone()
  },
)

await proxyTest('a refused call in between has its place in the order', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(`${get()}GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n${get()}`)
  t.equal((await readAnswer(client)).body, 'x')
  t.equal((await readAnswer(client)).status, 401)
  t.equal((await readAnswer(client)).body, 'x')
})

await proxyTest('nothing behind an invalid call is looked at', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(`${get('/1')}GET / HTTP/1.1\r\nhost : acme.test\r\n\r\n${get('/3')}`)
  t.equal((await readAnswer(client)).body, 'x')
  const { status, head, body } = await readAnswer(client)
  t.equal(status, 400)
  t.equal(codeOf(body), 'malformed_field')
  t.match(head, 'connection: close\r\n')
  t.equal(await client.readToEnd(), '')
  t.equal(proxy.totals().calls, 1)
})

await proxyTest(
  'a client that pipelines for ever behind a call that waits is not read for ever',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/slow'))
    const upstream = await deployment.next()
    await upstream.readHead()
    client.flood(Buffer.from(get().repeat(500)), 256 * MIB)
    let last = -1
    let same = 0
    await eventually(() => {
      const sent = client.socket.bytesWritten - client.socket.writableLength
      same = sent === last ? same + 1 : 0
      last = sent
      return same >= 30
    })
    t.ok(last < 12 * MIB, `${last} bytes taken`)
    t.equal(upstream.text, '')
    // A socket that is not read shows only when it is written to that its peer is gone.
    client.reset()
    await upstream.send(ok())
  },
)

await proxyTest(
  'a client that pipelines and never reads stops being served, and what it holds is bounded',
  async (t, lab) => {
    let served = 0
    const answer = ok('x'.repeat(60_000))
    const deployment = await lab.deployment({
      serve: async peer => {
        for (;;) {
          await peer.until(
            () => peer.text.includes('\r\n\r\n') || peer.ended || peer.closed,
            'a call',
          )
          if (peer.ended || peer.closed) return
          await peer.readHead()
          served++
          await peer.send(answer)
        }
      },
    })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    client.socket.pause()
    const before = process.memoryUsage().arrayBuffers
    client.flood(Buffer.from(get().repeat(500)), 64 * MIB)
    let last = -1
    let same = 0
    await eventually(() => {
      same = served === last ? same + 1 : 0
      last = served
      return served > 0 && same >= 30
    })
    t.ok(last * answer.length < 24 * MIB, `${last} calls served, none of them read`)
    t.ok(process.memoryUsage().arrayBuffers - before < 32 * MIB, 'nothing piles up in the process')
    client.socket.resume()
    await eventually(() => served > last)
    t.ok(served > last, 'it goes on once the client reads')
  },
)

await proxyTest(
  'calls beyond those that may wait are 429, behind the answers of those that may',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { http1: { maxPipelined: 2 } })
    const client = await lab.client(proxy)
    await client.send(get('/1') + post('two') + get('/3') + get('/4') + get('/5'))
    const upstream = await deployment.next()
    for (const [line, body] of [
      ['GET /1 ', ''],
      ['POST / ', 'two'],
      ['GET /3 ', ''],
    ] as const) {
      t.match(await upstream.readHead(), line)
      t.equal(await upstream.readBytes(body.length), body)
      await upstream.send(ok(line))
    }
    for (const line of ['GET /1 ', 'POST / ', 'GET /3 '])
      t.equal((await readAnswer(client)).body, line)
    const { status, head, body } = await readAnswer(client)
    t.same([status, codeOf(body)], [429, 'too_many_pipelined'])
    t.match(head, 'connection: close\r\n')
    t.equal(await client.readToEnd(), '')
    t.equal(upstream.text, '')
    t.equal(proxy.totals().calls, 3)
    t.equal(proxy.rejected('too_many_pipelined'), 1)
  },
)

await proxyTest(
  'as many calls as may wait are all answered, also when they come in pieces',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.forOne(deployment, { http1: { maxPipelined: 3 } })
    const client = await lab.client(proxy)
    for (let round = 0; round < 5; round++) {
      const calls = get() + post('body') + get() + get()
      for (let at = 0; at < calls.length; at += 37) await client.send(calls.slice(at, at + 37))
      for (let call = 0; call < 4; call++) t.equal((await readAnswer(client)).body, 'x')
    }
    t.equal(proxy.rejected(), 0)
  },
)

await proxyTest('what may be meant for a tunnel is not counted as calls', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { http1: { maxPipelined: 1 } })
  const client = await lab.client(proxy)
  await client.send(get('/ws', 'connection: upgrade\r\nupgrade: x\r\n') + get().repeat(5))
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 101 OK\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  t.match(await client.readHead(), / 101 /)
  t.equal(await upstream.readBytes(get().length * 5), get().repeat(5))
})
