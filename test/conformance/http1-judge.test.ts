/** The judge of the HTTP/1.1 conformance cases, judged: by messages it must tell apart and by proxies that are wrong. */
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'tap'
import { runCase } from '../support/http1-case-run.ts'
import { bytesOf, type Http1Case } from '../support/http1-cases.ts'
import { recordingDeployment } from '../support/raw-peer.ts'
import { readStrictAnswer, readStrictRequest } from '../support/strict-http1.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
const HEAD = 'POST /x HTTP/1.1\r\nHost: a\r\n'
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`

const VALID: Record<string, string> = {
  'no body': `${HEAD}\r\n`,
  'an empty Host': 'GET / HTTP/1.0\r\nHost:\r\n\r\n',
  'a body with a length': `${HEAD}Content-Length: 3\r\n\r\n\r\n\0`,
  'chunks with extensions and trailers': `${CHUNKED}3;a="\\"b";c\r\nabc\r\n00\r\nx: y\r\n\r\n`,
}
const VIOLATIONS: Record<string, string> = {
  'a bare LF in the request line': 'GET / HTTP/1.1\nHost: a\r\n\r\n',
  'a bare CR in a value': `${HEAD}x: a\rb\r\n\r\n`,
  'a bare LF before the head is complete': `${HEAD}x: a\nb`,
  'NUL in a value': `${HEAD}x: a\0b\r\n\r\n`,
  'a folded line': `${HEAD}x: a\r\n b\r\n\r\n`,
  'whitespace before the colon': `${HEAD}x : a\r\n\r\n`,
  'two spaces in the request line': 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
  'another version': 'GET / HTTP/1.2\r\nHost: a\r\n\r\n',
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'two Hosts': `${HEAD}Host: a\r\n\r\n`,
  'a length and chunks': `${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a length twice': `${HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
  'a list of lengths': `${HEAD}Content-Length: 3, 3\r\n\r\nabc`,
  'a signed length': `${HEAD}Content-Length: +3\r\n\r\nabc`,
  'another coding': `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'chunks in HTTP/1.0': CHUNKED.replace('1.1', '1.0').concat('0\r\n\r\n'),
  'a chunk size with a space': `${CHUNKED}3 \r\nabc\r\n0\r\n\r\n`,
  'a chunk size in another notation': `${CHUNKED}0x3\r\nabc\r\n0\r\n\r\n`,
  'a chunk longer than its size': `${CHUNKED}2\r\nabc\r\n0\r\n\r\n`,
  'a bare LF after a chunk size': `${CHUNKED}3\nabc\r\n0\r\n\r\n`,
  'a length in trailers': `${CHUNKED}0\r\nContent-Length: 3\r\n\r\n`,
}

await test('the strict reader takes what RFC 9112 allows, whole and no more', async t => {
  for (const [name, text] of Object.entries(VALID)) {
    const result = readStrictRequest(latin1(`${text}GET `))
    t.match(result, { kind: 'message', length: text.length }, name)
    for (let length = 0; length < text.length; length++) {
      t.equal(
        readStrictRequest(latin1(text.slice(0, length))).kind,
        'incomplete',
        `${name}, ${length} bytes`,
      )
    }
  }
})

await test('the strict reader names the rule that a message breaks', async t => {
  for (const [name, text] of Object.entries(VIOLATIONS)) {
    t.equal(readStrictRequest(latin1(text)).kind, 'violation', name)
  }
})

await test('the strict reader knows which answers have no body', async t => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc'
  const lengthFor = (text: string, method: string, closed = false): unknown => {
    const result = readStrictAnswer(latin1(text), { method, closed })
    return result.kind === 'message' ? result.length : result.kind
  }
  t.equal(lengthFor(answer, 'GET'), answer.length)
  t.equal(lengthFor(answer, 'HEAD'), answer.length - 3)
  t.equal(lengthFor('HTTP/1.1 204 \r\n\r\nabc', 'GET'), 17)
  t.equal(lengthFor('HTTP/1.1 200 \r\n\r\nabc', 'GET'), 'incomplete')
  t.equal(lengthFor('HTTP/1.1 200 \r\n\r\nabc', 'GET', true), 20)
})

function http1Case(text: string, expect: Http1Case['expect'], n: number): Http1Case {
  return { id: 'own', title: 'own', send: [latin1(text).toString('base64')], expect, n }
}

await test('requests of a case get a Host where they lack one, and nothing else', async t => {
  const given =
    'POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\nGET /2 HTTP/1.1\r\nx : y\r\n\r\n'
  t.equal(
    bytesOf(http1Case(given, 'reject', 1)).toString('latin1'),
    'POST /1 HTTP/1.1\r\nContent-Length: 3\r\nHost: example.com\r\n\r\nabc\r\nGET /2 HTTP/1.1\r\nx : y\r\nHost: example.com\r\n\r\n',
  )
  const inside = 'POST / HTTP/1.0\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n'
  t.equal(bytesOf(http1Case(inside, 'accept', 1)).toString('latin1'), inside)
})

type Relay = (client: net.Socket, upstream: net.Socket) => void

/** A proxy that is nothing but `relay` between each client and a connection of its own to `port`. */
async function startRelay(
  port: number,
  relay: Relay,
): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(client => {
    const upstream = net.connect({ port, host: '127.0.0.1' })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
    }
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    relay(client, upstream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  }
  return { port: (server.address() as net.AddressInfo).port, close }
}

const copy: Relay = (client, upstream) => client.pipe(upstream).pipe(client)

const mute: Relay = (client, upstream) => client.pipe(upstream)
const borrowed: Relay = (client, upstream) => {
  upstream.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
  copy(client, upstream)
}
const refuse: Relay = client => {
  client.on('data', () => client.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'))
}

async function judge(
  t: { teardown: (done: () => Promise<void>) => void },
  relay: Relay,
  given: Http1Case,
): Promise<string> {
  const deployment = await recordingDeployment()
  const proxy = await startRelay(deployment.port, relay)
  t.teardown(async () => {
    await proxy.close()
    await deployment.close()
  })
  return (await runCase(given, proxy.port, deployment)).join('; ')
}

await test('a proxy that does well is found to do well', async t => {
  const body = `${HEAD}Content-Length: 3\r\n\r\nabc`
  const request = { method: 'POST', target: '/x', body: Buffer.from('abc').toString('base64') }
  t.equal(await judge(t, copy, { ...http1Case(body, 'accept', 1), requests: [request] }), '')
  t.equal(await judge(t, copy, http1Case(body + body, 'accept', 2)), '')
  t.equal(await judge(t, copy, http1Case(body.slice(0, -1), 'wait', 0)), '')
  t.equal(await judge(t, copy, http1Case('HEAD / HTTP/1.1\r\n\r\n', 'accept', 1)), '')
})

const PROBLEM = '{"type":"about:amt/malformed_field","status":400}'
const answerWith =
  (lines: string, end: boolean): Relay =>
  client => {
    client.on('data', () => {
      const head = `HTTP/1.1 400 Bad Request\r\ncontent-length: ${PROBLEM.length}\r\n${lines}\r\n`
      if (end) client.end(head + PROBLEM)
      else client.write(head + PROBLEM)
    })
  }
/** Gives on what it refuses. */
const leak: Relay = (client, upstream) => {
  client.on('data', chunk => {
    if (!chunk.includes('x : y')) upstream.write(chunk)
    else {
      upstream.write('GET /')
      client.end(
        `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: ${PROBLEM.length}\r\n\r\n${PROBLEM}`,
      )
    }
  })
  upstream.pipe(client)
}
/** Closes behind the first answer. */
const hasty: Relay = (client, upstream) => {
  client.pipe(upstream)
  upstream.on('data', chunk => client.end(chunk))
}

await test('a refusal that says too little or leaves something behind is found', async t => {
  const bad = `${HEAD}x : y\r\n\r\n`
  const own = { refusal: { status: 400, code: 'malformed_target' } }
  const problem = 'content-type: application/problem+json\r\n'
  const close = 'connection: close\r\n'
  const found = (relay: Relay, more: Partial<Http1Case> = {}): Promise<string> =>
    judge(t, relay, { ...http1Case(bad, 'reject', 0), ...more })
  t.match(await found(answerWith(close, true)), /without problem details/)
  t.match(await found(answerWith(problem, true)), /without saying that the connection ends/)
  t.match(await found(answerWith(problem + close, false)), /refused, and left open/)
  t.match(
    await found(answerWith(problem + close, true), { own }),
    /400 malformed_field instead of 400 malformed_target/,
  )
  t.match(
    await found(answerWith(problem + close, true), { status: [[200, 299]] }),
    /answered with 400/,
  )
  t.match(await found(leak), /saw something of a refused message/)
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n'
  t.match(
    await judge(t, hasty, http1Case(`${get}\r\n`, 'accept', 1)),
    /closed instead of kept open|the next call got no answer/,
  )
  t.match(
    await judge(t, copy, http1Case(`${get}Connection: close\r\n\r\n`, 'accept', 1)),
    /kept open instead of closed/,
  )
})

await test('each way to do badly is found', async t => {
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
  t.match(
    await judge(t, copy, http1Case(`${HEAD}x : y\r\n\r\n`, 'safe', 0)),
    /deployment got .* rule: field line/,
  )
  t.match(await judge(t, copy, http1Case(get, 'reject', 0)), /^1 requests arrived/)
  t.match(await judge(t, copy, http1Case(get, 'wait', 0)), /^1 requests arrived/)
  t.match(await judge(t, copy, http1Case(get, 'accept', 2)), /^1 requests arrived instead of 2/)
  const other = {
    ...http1Case(get, 'accept', 1),
    requests: [{ method: 'PUT', target: '/y', body: 'eA==' }],
  }
  t.equal(await judge(t, copy, other), 'method GET instead of PUT; target / instead of /y; body ""')
  t.match(
    await judge(t, mute, http1Case(get, 'accept', 1)),
    /next client got no answer.*1 requests arrived, 0 answers/,
  )
  t.match(
    await judge(t, borrowed, http1Case(get, 'safe', 0)),
    /next client got another answer than its own/,
  )
  t.match(
    await judge(t, refuse, http1Case(get.slice(0, 9), 'wait', 0)),
    /refused \(400\) instead of waited for/,
  )
})
