import { test } from 'tap'
import { proxyBooksSchema } from '../../../src/contracts/reconcile.ts'
import { usageAnswerSchema, usageSumsOf } from '../../../src/contracts/usage-query.ts'
import { noExactUsage } from '../../../src/contracts/usage-report.ts'

const BEFORE = {
  calls: 3,
  ingress: 1,
  egress: '9007199254740993',
  connections: 0,
  connectionMs: 0,
  callMs: 7,
}
const NOW = { ...BEFORE, requestMessages: 0, responseMessages: 0 }

await test('answers of a mixer and of a proxy that know no messages are read', t => {
  const answer = {
    tenant: null,
    from: '2026-11-22T00:00:00.000Z',
    to: '2026-11-23T00:00:00.000Z',
    by: ['tenant'],
    totals: BEFORE,
    windows: [{ tenant: 'acme', ...BEFORE }],
    next: null,
  }
  t.match(usageAnswerSchema.parse(answer), { totals: NOW, windows: [{ tenant: 'acme', ...NOW }] })
  const account = {
    counted: BEFORE,
    journaled: BEFORE,
    acknowledged: BEFORE,
    setAside: BEFORE,
    pending: BEFORE,
  }
  const books = {
    totals: account,
    tenants: [{ tenant: 'acme', ...account }],
    next: null,
    journals: [],
    bytesPending: 0,
    bytesUnread: 0,
    lagSeconds: 0,
  }
  t.match(proxyBooksSchema.parse(books), { totals: { counted: NOW } })
  t.end()
})

await test('messages beyond what a number can say keep all their digits', t => {
  const sums = usageSumsOf({ ...noExactUsage(), responseMessages: 2n ** 53n + 1n })
  t.equal(sums.responseMessages, '9007199254740993')
  t.end()
})
