/** Compares the books of a proxy with those of the ledger. Pure; what is under way is told as such, and asked for again. */
import type {
  JournalBooks,
  MixerBooks,
  ProducerBooks,
  ProxyBooks,
  UsageAccountBooks,
} from '../../contracts/reconcile.ts'
import type { UsageSums } from '../../contracts/usage-query.ts'
import { noUsage, USAGE_COUNTERS } from '../../contracts/usage-report.ts'

export interface Sample {
  /** Monotonic, ms. */
  readonly at: number
  readonly proxy: ProxyBooks
  /** Of the producers that the proxy names. */
  readonly mixer: Pick<MixerBooks, 'producers' | 'reported' | 'ledger'>
}

/** Workers tell what they have counted once a second: by then what was journaled before is counted, too. */
const COUNTED_AFTER_MS = 1_500

/** What does not balance in the last of the samples, one sentence each; none where the books balance. */
export function imbalances(samples: readonly Sample[]): string[] {
  const last = samples.at(-1)
  if (last === undefined) return ['there is nothing to compare']
  return [
    ...accountImbalances(samples, last),
    ...journalImbalances(last),
    ...(equal(last.mixer.reported, last.mixer.ledger)
      ? []
      : [
          `the ledger: its windows hold ${differences(last.mixer.ledger, last.mixer.reported)} of what was reported`,
        ]),
    ...(last.proxy.bytesUnread > 0
      ? [`the proxy: ${last.proxy.bytesUnread} bytes of its journals are not in its sums yet`]
      : []),
  ]
}

function accountImbalances(samples: readonly Sample[], last: Sample): string[] {
  const earlier = samples.filter(({ at }) => last.at - at >= COUNTED_AFTER_MS)
  const former = earlier.map(({ proxy }) => accountsOf(proxy))
  return [...accountsOf(last.proxy)].flatMap(([name, account]) => {
    const { counted, journaled, pending } = account
    // Under traffic the two are read at different moments; then each lies between the other's former and present value.
    const underWay = former.some(accounts => {
      const before = accounts.get(name)
      return (
        before === undefined ||
        (atMost(before.counted, journaled) && atMost(before.journaled, counted))
      )
    })
    return [
      ...(equal(counted, journaled) || underWay
        ? []
        : [`${name}: counted ${differences(counted, journaled)} of what is journaled`]),
      ...(atMost(NOTHING, pending)
        ? []
        : [`${name}: more is acknowledged and set aside than is journaled`]),
    ]
  })
}

function accountsOf({ totals, tenants }: ProxyBooks): Map<string, UsageAccountBooks> {
  const byTenant = tenants.map(account => [`tenant ${account.tenant}`, account] as const)
  return new Map([['all tenants', totals], ...byTenant])
}

function journalImbalances({ proxy, mixer }: Sample): string[] {
  const producers = new Map(mixer.producers.map(books => [books.producer, books]))
  return proxy.journals.flatMap(journal => {
    const problem = journalImbalance(journal, producers.get(journal.producer))
    return problem === undefined ? [] : [`journal ${journal.producer}: ${problem}`]
  })
}

function journalImbalance(
  journal: JournalBooks,
  ledger: ProducerBooks | undefined,
): string | undefined {
  const durable = ledger?.durable ?? 0
  if (durable < journal.durable)
    return `the ledger has its batches up to ${durable}, and had acknowledged ${journal.durable}`
  if (durable > journal.durable)
    return `the ledger has its batches up to ${durable}, and the proxy has not heard of them behind ${journal.durable}`
  // Of a journal that was begun before this start of the proxy, only a part is in its sums.
  if (journal.first > 1 || ledger === undefined) return undefined
  return equal(ledger.totals, journal.acknowledged)
    ? undefined
    : `the ledger has ${differences(ledger.totals, journal.acknowledged)} of what it acknowledged`
}

const NOTHING: UsageSums = noUsage()

function equal(a: UsageSums, b: UsageSums): boolean {
  return USAGE_COUNTERS.every(counter => BigInt(a[counter]) === BigInt(b[counter]))
}

function atMost(a: UsageSums, b: UsageSums): boolean {
  return USAGE_COUNTERS.every(counter => BigInt(a[counter]) <= BigInt(b[counter]))
}

/** `3 calls less, 10 egress more`. */
function differences(a: UsageSums, b: UsageSums): string {
  return USAGE_COUNTERS.flatMap(counter => {
    const difference = BigInt(a[counter]) - BigInt(b[counter])
    if (difference === 0n) return []
    return difference < 0n ? `${-difference} ${counter} less` : `${difference} ${counter} more`
  }).join(', ')
}
