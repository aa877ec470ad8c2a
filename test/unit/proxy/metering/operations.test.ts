import fc from 'fast-check'
import { test } from 'tap'
import { OperationMatcher } from '../../../../src/proxy/metering/operations.ts'

const NONE = 99

/** Index of the operation, or NONE, of calls like `GET /a`. */
function matcher(...matches: string[]): (call: string) => number {
  const operations = matches.map((match, index) => ({ name: `op${index}`, match }))
  const found = new OperationMatcher(operations, NONE)
  return call => {
    const [method = '', target = ''] = call.split(' ')
    return found.match(method, target)
  }
}

const ROWS: readonly (readonly [match: string, fits: readonly string[], not: readonly string[]])[] =
  [
    [
      'GET /',
      ['GET /', 'GET /?a', 'GET http://a', 'GET http://a?b', 'GET http://a/'],
      ['GET /a', 'GET //', 'POST /'],
    ],
    [
      'GET /a',
      ['GET /a', 'GET /a?b/c', 'GET https://h:1/a'],
      ['GET /', 'GET /a/', 'GET /ab', 'GET /A', 'GET //a', 'get /a'],
    ],
    ['GET /a/', ['GET /a/', 'GET /a/?b'], ['GET /a', 'GET /a/b', 'GET /a//']],
    ['GET /a//b', ['GET /a//b'], ['GET /a/b', 'GET /a/x/b']],
    [
      'GET /a/:id',
      ['GET /a/1', 'GET /a/%2f', 'GET /a/:id'],
      ['GET /a', 'GET /a/', 'GET /a/1/', 'GET /a/1/2'],
    ],
    ['GET /:x/b', ['GET /1/b', 'GET /b/b'], ['GET //b', 'GET /b', 'GET /1/c', 'GET /1/b/']],
    [
      'GET /a/*',
      ['GET /a/', 'GET /a/b', 'GET /a/b/c', 'GET /a//'],
      ['GET /a', 'GET /ab/c', 'GET /b/a/'],
    ],
    ['GET /*', ['GET /', 'GET /a', 'GET /a/b', 'GET http://a'], ['POST /']],
    ['GET /a/:id/*', ['GET /a/1/', 'GET /a/1/2'], ['GET /a/1', 'GET /a//2']],
    ['* /a', ['GET /a', 'DELETE /a', 'M-SEARCH /a'], ['GET /b']],
    ['POST /*.js', ['POST /*.js'], ['POST /a.js']],
    [
      'grpc orders.v1.Orders/Place',
      ['POST /orders.v1.Orders/Place'],
      ['GET /orders.v1.Orders/Place', 'POST /orders.v1.Orders/Place2', 'POST /orders.v1.Orders'],
    ],
    [
      'grpc orders.v1.Orders/*',
      ['POST /orders.v1.Orders/Place'],
      ['POST /orders.v1.Order/Place', 'POST /orders.v1.Orders'],
    ],
  ]

await test('knows the operation of a call by method and path', async t => {
  for (const [match, fits, not] of ROWS) {
    const operation = matcher(match)
    for (const call of fits) t.equal(operation(call), 0, `${match}: ${call}`)
    for (const call of not) t.equal(operation(call), NONE, `${match}, not ${call}`)
  }
})

await test('the first match wins', async t => {
  const operation = matcher('GET /a/b', 'GET /a/:id', '* /a/*', 'GET /a/b')
  t.same(['GET /a/b', 'GET /a/c', 'PUT /a/b', 'GET /b'].map(operation), [0, 1, 2, NONE])
  t.equal(matcher()('GET /'), NONE, 'of none')
})

await test('a target without a path has no operation but the root', async t => {
  t.equal(matcher('OPTIONS /')('OPTIONS *'), NONE)
  t.equal(matcher('* /*')('OPTIONS *'), NONE)
  t.equal(matcher('GET /b')('GET /a?http://x/b'), NONE, 'nor does a query count')
  t.equal(matcher('GET /b')('GET /a://x/b'), NONE)
})

/** By an expression made from the pattern, as one would write it without caring for time. */
function naive(match: string, call: string): boolean {
  const [method = '', pattern = ''] = match.split(' ')
  const [called = '', target = ''] = call.split(' ')
  const expression = pattern
    .split('/')
    .slice(1)
    .map((part, index, all) => {
      if (part === '*' && index === all.length - 1) return '/.*'
      return part.startsWith(':') ? '/[^/]+' : `/${part.replaceAll(/[^a-z]/g, '\\$&')}`
    })
    .join('')
  return (method === '*' || method === called) && new RegExp(`^${expression}$`).test(target)
}

await test('agrees with regular expressions', async t => {
  const segment = fc.constantFrom('', 'a', 'b', 'ab', ':id', '*', '.')
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map(parts => `/${parts.join('/')}`)
  const method = fc.constantFrom('GET', 'POST')
  const pattern = fc.tuple(fc.oneof(method, fc.constant('*')), path).map(parts => parts.join(' '))
  const call = fc.tuple(method, path).map(parts => parts.join(' '))
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 5 }), call, (patterns, called) => {
      const expected = patterns.findIndex(each => naive(each, called))
      return matcher(...patterns)(called) === (expected < 0 ? NONE : expected)
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})
