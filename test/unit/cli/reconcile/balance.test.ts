import { test } from 'tap'
import { imbalances, type Sample } from '../../../../src/cli/reconcile/balance.ts'
import type { JournalBooks, UsageAccountBooks } from '../../../../src/contracts/reconcile.ts'
import type { UsageSums } from '../../../../src/contracts/usage-query.ts'
import { noUsage } from '../../../../src/contracts/usage-report.ts'

function sums(calls: number | string): UsageSums {
  return { ...noUsage(), calls }
}

function account(
  changes: Partial<Record<keyof UsageAccountBooks, number>> = {},
): UsageAccountBooks {
  const { counted = 5, journaled = 5, acknowledged = 5, setAside = 0, pending = 0 } = changes
  return {
    counted: sums(counted),
    journaled: sums(journaled),
    acknowledged: sums(acknowledged),
    setAside: sums(setAside),
    pending: sums(pending),
  }
}

interface Parts {
  readonly at?: number
  readonly totals?: UsageAccountBooks
  readonly tenant?: UsageAccountBooks
  readonly journal?: Partial<JournalBooks>
  readonly ledger?: { durable: number; calls: number | string } | 'nothing'
  readonly windows?: number
  readonly unread?: number
}

function sample(parts: Parts = {}): Sample {
  const { at = 0, totals = account(), tenant = totals, journal, unread = 0, windows = 9 } = parts
  const { ledger = { durable: 3, calls: 5 } } = parts
  return {
    at,
    proxy: {
      totals,
      tenants: [{ tenant: 'acme', ...tenant }],
      next: null,
      journals: [
        {
          producer: 'p',
          state: 'live',
          first: 1,
          read: 3,
          durable: 3,
          acknowledged: sums(5),
          setAside: 0,
          bytesPending: 0,
          bytesUnread: 0,
          lagSeconds: 0,
          ...journal,
        },
      ],
      bytesPending: 0,
      bytesUnread: unread,
      lagSeconds: 0,
    },
    mixer: {
      producers:
        ledger === 'nothing'
          ? []
          : [
              {
                producer: 'p',
                proxy: 'proxy-1',
                durable: ledger.durable,
                appliedAt: '2026-11-25T12:00:00.000Z',
                totals: sums(ledger.calls),
              },
            ],
      reported: sums(9),
      ledger: sums(windows),
    },
  }
}

await test('books that balance', t => {
  t.same(imbalances([sample()]), [])
  t.same(imbalances([sample({ totals: account({ acknowledged: 3, pending: 2 }) })]), [])
  const unheard = { journal: { durable: 0, acknowledged: sums(0) }, ledger: 'nothing' } as const
  t.same(imbalances([sample(unheard)]), [], 'of a journal that was not shipped yet')
  const later = { journal: { first: 2 }, ledger: { durable: 3, calls: 50 } }
  t.same(imbalances([sample(later)]), [], 'a former start has shipped the other batches')
  const exact = '9007199254740993'
  const large = { journal: { acknowledged: sums(exact) }, ledger: { durable: 3, calls: exact } }
  t.same(imbalances([sample(large)]), [], 'beyond what a number can say')
  t.end()
})

await test('books that do not say what it is about', t => {
  const cases: readonly (readonly [Parts, RegExp])[] = [
    [{ totals: account({ counted: 7 }) }, /^all tenants: counted 2 calls more of/],
    [{ tenant: account({ counted: 4 }) }, /^tenant acme: counted 1 calls less of/],
    [{ tenant: account({ pending: -1 }) }, /^tenant acme: more is acknowledged/],
    [{ ledger: { durable: 3, calls: 4 } }, /^journal p: the ledger has 1 calls less of/],
    [{ ledger: { durable: 3, calls: 10 } }, /^journal p: the ledger has 5 calls more of/],
    [{ ledger: { durable: 2, calls: 5 } }, /^journal p: .* up to 2, and had acknowledged 3/],
    [{ ledger: 'nothing' }, /^journal p: .* up to 0, and had acknowledged 3/],
    [{ ledger: { durable: 4, calls: 5 } }, /^journal p: .* up to 4, and the proxy has not heard/],
    [{ journal: { first: 2 }, ledger: { durable: 1, calls: 0 } }, /had acknowledged 3/],
    [{ windows: 8 }, /^the ledger: its windows hold 1 calls less of/],
    [{ unread: 100 }, /^the proxy: 100 bytes/],
  ]
  for (const [parts, problem] of cases) {
    const found = imbalances([sample(parts)])
    t.match(found[0], problem)
  }
  t.same(imbalances([]), ['there is nothing to compare'])
  t.end()
})

await test('under traffic counted and journaled may lie between each other’s values', t => {
  const before = sample({ at: 0, totals: account({ counted: 5, journaled: 4 }) })
  const late = sample({ at: 2_000, totals: account({ counted: 8, journaled: 9 }) })
  t.same(imbalances([before, late]), [])
  t.not(imbalances([before, { ...late, at: 900 }]).length, 0, 'not before workers have spoken')
  const lost = sample({ at: 2_000, totals: account({ counted: 8, journaled: 4 }) })
  t.not(imbalances([before, lost]).length, 0, 'what was counted is never journaled')
  const twice = sample({ at: 2_000, totals: account({ counted: 3, journaled: 9 }) })
  t.not(imbalances([before, twice]).length, 0, 'what was journaled is never counted')
  t.end()
})
