import { test } from 'tap'
import { ERRORS, type ErrorCode } from '../../../../src/core/errors.ts'
import { type ErrorAnswer, errorText } from '../../../../src/proxy/forward/error-response.ts'
import { RateFields } from '../../../../src/proxy/limits/rate-fields.ts'
import { readStrictAnswer } from '../../../support/strict-http1.ts'

const PLAIN: ErrorAnswer = {
  requestId: 'id-1',
  close: false,
  head: false,
  grpc: false,
}

await test('answers with problem details', async t => {
  const body = '{"type":"about:amt/tenant_disabled","title":"this tenant is disabled","status":403}'
  const lines = [
    'HTTP/1.1 403 Forbidden',
    'content-type: application/problem+json',
    `content-length: ${body.length}`,
    'cache-control: no-store',
    'x-request-id: id-1',
  ]
  const text = (...all: string[]): string => all.join('\r\n')
  t.equal(errorText('tenant_disabled', PLAIN), text(...lines, '', body))
  t.equal(
    errorText('tenant_disabled', { ...PLAIN, close: true, head: true }),
    text(...lines, 'connection: close', '', ''),
    'without its body to HEAD',
  )
  t.equal(
    errorText('tenant_disabled', { ...PLAIN, requestId: '' }),
    text(...lines.slice(0, -1), '', body),
  )
})

await test('says when to come again', async t => {
  const retryAfter = (code: ErrorCode, retryAfterMs: number): string | undefined =>
    /^retry-after: (.*)\r$/m.exec(errorText(code, { ...PLAIN, limited: { retryAfterMs } }))?.[1]
  t.equal(retryAfter('rate_limited', 0.001), '1', 'whole seconds, never too early')
  t.equal(retryAfter('rate_limited', 1_000), '1')
  t.equal(retryAfter('rate_limited', 1_001), '2')
  t.equal(retryAfter('upstream_connect', 0), '1')
  t.equal(retryAfter('unroutable', 0), undefined)
})

await test('says what a rate has left, and what there is of it', async t => {
  const rate = new RateFields('"requests";r=0;t=1', '"requests";q=100;w=1')
  const text = errorText('rate_limited', { ...PLAIN, limited: { retryAfterMs: 10, rate } })
  t.match(text, 'ratelimit: "requests";r=0;t=1\r\nratelimit-policy: "requests";q=100;w=1\r\n')
  t.notMatch(errorText('tenant_overloaded', PLAIN), 'ratelimit')
})

await test('every error is a valid answer of its status, with a reason', async t => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    for (const method of ['GET', 'HEAD']) {
      const answer = { ...PLAIN, head: method === 'HEAD' }
      const bytes = Buffer.from(errorText(code, answer), 'latin1')
      const result = readStrictAnswer(bytes, { method, closed: false })
      if (result.kind !== 'message') {
        t.fail(`${code}: ${JSON.stringify(result)}`)
        continue
      }
      const { message, length } = result
      const { http } = ERRORS[code]
      if (length !== (method === 'GET' ? bytes.length : bytes.indexOf('\r\n\r\n') + 4))
        t.fail(`${code} to ${method}: ${length} bytes`)
      t.equal(message.status, http, `${code} to ${method}`)
      const schemes = message.fields.filter(([name]) => name === 'www-authenticate')
      t.equal(schemes.length > 0, http === 401, 'schemes belong to 401')
    }
    // The mixer and the admin server answer for themselves.
    if (['mixer', 'proxy'].includes(ERRORS[code].source)) continue
    t.notMatch(errorText(code, PLAIN), /^HTTP\/1\.1 \d+ Error\r/, `${code} has a reason`)
  }
})
