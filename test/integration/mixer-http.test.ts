import { connect, type Socket } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import { SERVER_TIMEOUTS } from '../../src/mixer/http/server.ts'
import { record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

const AUTHORIZATION = `authorization: Bearer ${TOKEN}`

/** What the mixer answers to exact bytes, until it closes the connection. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  return text(socket)
}

function refusedWith(t: Test, answer: string, code: ErrorCode, name: string): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  const { http, title } = ERRORS[code]
  t.match(head, new RegExp(`^HTTP/1.1 ${http} [A-Z]`), name)
  t.match(head, /content-type: application\/problem\+json/i, name)
  t.match(JSON.parse(body || 'null'), { type: `about:amt/${code}`, title, status: http }, name)
}

await test('every refusal is a problem with its code', async t => {
  const { port } = await startMixer(t)
  const request = (line: string, ...fields: string[]): string =>
    [`${line} HTTP/1.1`, 'host: mixer', 'connection: close', ...fields, '', ''].join('\r\n')
  const json = 'content-type: application/json'
  const cases: readonly { name: string; bytes: string; code: ErrorCode }[] = [
    { name: 'an unknown path', bytes: request('GET /v2/usage'), code: 'not_found' },
    {
      name: 'a deployment that nobody knows',
      bytes: request('GET /v1/whoami', AUTHORIZATION),
      code: 'unidentified_source',
    },
    { name: 'a path with a slash more', bytes: request('GET /livez/'), code: 'not_found' },
    {
      name: 'a target in absolute form',
      bytes: request('GET http://mixer/livez'),
      code: 'not_found',
    },
    { name: 'an unknown path needs no token', bytes: request('POST /'), code: 'not_found' },
    {
      name: 'a method of another route',
      bytes: request('GET /v1/report', AUTHORIZATION),
      code: 'method_not_allowed',
    },
    {
      name: 'DELETE',
      bytes: request('DELETE /v1/usage', AUTHORIZATION),
      code: 'method_not_allowed',
    },
    { name: 'TRACE', bytes: request('TRACE /livez'), code: 'method_not_allowed' },
    { name: 'no token', bytes: request('GET /v1/usage'), code: 'unauthorized' },
    {
      name: 'another token',
      bytes: request('GET /v1/usage', 'authorization: Bearer wrong'),
      code: 'unauthorized',
    },
    {
      name: 'a longer token',
      bytes: request('GET /v1/usage', `${AUTHORIZATION}x`),
      code: 'unauthorized',
    },
    {
      name: 'an empty token',
      bytes: request('GET /v1/usage', 'authorization: Bearer '),
      code: 'unauthorized',
    },
    {
      name: 'another scheme',
      bytes: request('GET /v1/usage', `authorization: Basic ${TOKEN}`),
      code: 'unauthorized',
    },
    {
      name: 'a token in the query',
      bytes: request(`GET /v1/usage?token=${TOKEN}`),
      code: 'unauthorized',
    },
    {
      name: 'a report without token',
      bytes: request('POST /v1/report', json, 'content-length: 2'),
      code: 'unauthorized',
    },
    {
      name: 'a wrong query',
      bytes: request('GET /v1/usage?by=price', AUTHORIZATION),
      code: 'malformed_message',
    },
    {
      name: 'a body of no kind',
      bytes: request('POST /v1/report', AUTHORIZATION, 'content-length: 0'),
      code: 'unsupported_media_type',
    },
    {
      name: 'a length over the cap',
      bytes: request('POST /v1/report', AUTHORIZATION, json, 'content-length: 8388609'),
      code: 'payload_too_large',
    },
    {
      name: 'an expectation',
      bytes: request('GET /livez', 'expect: miracles'),
      code: 'unsupported_expectation',
    },
    {
      name: 'no Host',
      bytes: 'GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n',
      code: 'invalid_host',
    },
    {
      name: 'a header section over the cap',
      bytes: request('GET /livez', `x: ${'x'.repeat(20_000)}`),
      code: 'head_too_large',
    },
    { name: 'no HTTP', bytes: '\u0016\u0003\u0001 hello', code: 'malformed_request' },
    {
      name: 'two lengths',
      bytes: request('POST /v1/report', 'content-length: 1', 'content-length: 2'),
      code: 'malformed_request',
    },
  ]
  for (const { name, bytes, code } of cases) refusedWith(t, await raw(port, bytes), code, name)
})

await test('405 names the methods and 401 the scheme', async t => {
  const { url } = await startMixer(t)
  t.equal((await fetch(`${url}/v1/report`)).headers.get('allow'), 'POST')
  t.equal((await fetch(`${url}/livez`, { method: 'POST' })).headers.get('allow'), 'GET, HEAD')
  t.match((await fetch(`${url}/v1/usage`)).headers.get('www-authenticate'), /^Bearer/)
})

await test('the scheme of the token is written in any case', async t => {
  const { url } = await startMixer(t)
  const { status } = await fetch(`${url}/v1/usage`, {
    headers: { authorization: `bearer ${TOKEN}` },
  })
  t.equal(status, 200)
})

await test('HEAD is answered as GET is, without the body', async t => {
  const { url } = await startMixer(t)
  const response = await fetch(`${url}/livez`, { method: 'HEAD' })
  t.equal(response.status, 200)
  t.equal(response.headers.get('content-length'), '15')
  t.equal(await response.text(), '')
})

await test('a peer that takes its time is refused and let go', async t => {
  const timeouts = { ...SERVER_TIMEOUTS, headMs: 50, requestMs: 100, checkMs: 10 }
  const { port } = await startMixer(t, { timeouts })
  refusedWith(
    t,
    await raw(port, 'GET /livez HTTP/1.1\r\nhost: mixer\r\n'),
    'header_timeout',
    'in the head',
  )
  const fields = [
    'host: mixer',
    AUTHORIZATION,
    'content-type: application/json',
    'content-length: 100',
  ]
  const head = `POST /v1/report HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`
  refusedWith(t, await raw(port, `${head}{"producer":`), 'body_timeout', 'in the body')
  const unauthorized = head.replace(TOKEN, 'wrong')
  const answer = await raw(port, `${unauthorized}{"producer":`)
  refusedWith(t, answer, 'unauthorized', 'answered before the body is there')
  t.equal(answer.match(/HTTP\/1\.1/g)?.length, 1, 'and no second time')
})

await test('a connection that says nothing is closed', async t => {
  const { port } = await startMixer(t, { timeouts: { ...SERVER_TIMEOUTS, stalledMs: 50 } })
  t.equal(await raw(port, ''), '')
})

await test('livez, readyz and metrics are open', async t => {
  const { url } = await startMixer(t)
  for (const path of ['/livez', '/readyz'])
    t.same(await (await fetch(url + path)).json(), { status: 'ok' }, path)
  const metrics = await fetch(`${url}/metrics`)
  t.match(metrics.headers.get('content-type'), /^text\/plain/)
  t.match(await metrics.text(), /^amt_mixer_reports_total\{result="applied"\} 0$/m)
})

await test('metrics count reports by result and refusals by reason', async t => {
  const { url } = await startMixer(t)
  const post = async (body: unknown): Promise<unknown> => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
    return (
      await fetch(`${url}/v1/report`, { method: 'POST', headers, body: JSON.stringify(body) })
    ).text()
  }
  for (const body of [report(1, [record(), record()]), report(1), report(1), report(5), {}])
    await post(body)
  const exposition = await (await fetch(`${url}/metrics`)).text()
  for (const line of [
    'amt_mixer_reports_total{result="applied"} 1',
    'amt_mixer_reports_total{result="repeated"} 2',
    'amt_mixer_reports_total{result="gap"} 1',
    'amt_mixer_records_total 2',
    'amt_mixer_ledger_apply_seconds_count 4',
    'amt_mixer_refused_total{reason="report_gap"} 1',
    'amt_mixer_refused_total{reason="malformed_message"} 1',
  ]) {
    t.ok(exposition.split('\n').includes(line), line)
  }
})

await test('a ledger that cannot be used is logged, and told to the caller without its inside', async t => {
  const mixer = await startMixer(t)
  const vandal = new DatabaseSync(mixer.ledger)
  vandal.exec('DROP TABLE usage')
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
  const calls = [
    () =>
      fetch(`${mixer.url}/v1/report`, { method: 'POST', headers, body: JSON.stringify(report(1)) }),
    () => fetch(`${mixer.url}/v1/usage`, { headers }),
  ]
  for (const call of calls) {
    const response = await call()
    const body = await response.text()
    t.equal(response.status, 503)
    t.equal(response.headers.get('retry-after'), '1')
    t.match(JSON.parse(body), { type: 'about:amt/ledger_unavailable' })
    t.notMatch(body, /usage|sqlite|ledger\.db/)
  }
  t.match(mixer.log(), /no such table: usage/)
  vandal.close()
})

await test('closing lets a call end, refuses to be ready and ends idle connections', async t => {
  const { port, close } = await startMixer(t)
  const body = JSON.stringify(report(1))
  const fields = [
    'host: mixer',
    AUTHORIZATION,
    'content-type: application/json',
    'expect: 100-continue',
  ]
  const busy = connect(port, '127.0.0.1')
  busy.write(
    `POST /v1/report HTTP/1.1\r\n${fields.join('\r\n')}\r\ncontent-length: ${body.length}\r\n\r\n`,
  )
  await firstBytes(busy, '100 Continue')
  const idle = connect(port, '127.0.0.1')
  idle.write('GET /livez HTTP/1.1\r\nhost: mixer\r\n\r\n')
  await firstBytes(idle, 'ok')
  const closed = close()
  await new Promise(resolve => idle.once('close', resolve))
  const answered = text(busy)
  busy.write(body)
  t.match(await answered, /HTTP\/1.1 200 OK[^]*connection: close[^]*"durable":1/i)
  await closed
  await t.rejects(fetch(`http://127.0.0.1:${port}/livez`))
})

async function firstBytes(socket: Socket, expected: string): Promise<void> {
  const bytes = await new Promise<string>(resolve =>
    socket.once('data', chunk => resolve(String(chunk))),
  )
  if (!bytes.includes(expected)) throw new Error(`got ${bytes}`)
}
