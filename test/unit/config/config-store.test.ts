/** What a change of the sources makes of a configuration, beside what loading everything makes of it. */
import { renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import {
  type ConfigStore,
  openConfig,
  type TenantDifference,
} from '../../../src/config/config-store.ts'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'
import { decodeTenant, encodeTenant, idInText } from '../../../src/config/tenant-text.ts'
import { Touched } from '../../../src/config/touched.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const STEPS = 300

/** A configuration in a folder of its own, which a test writes and a store follows. */
class Folder {
  readonly path: string
  readonly lines: string
  readonly files: string
  inline: object[] = []
  limits: object = {}
  quotas: object[] = []

  constructor(t: Test) {
    this.path = t.testdir({ 'lines.jsonl': '', 'tenants.d': {}, 'keys.json': '{"keys":[]}' })
    this.lines = join(this.path, 'lines.jsonl')
    this.files = join(this.path, 'tenants.d')
    this.writeMain()
  }

  writeMain(): void {
    const issuer = { issuer: 'https://login', audiences: ['a'], jwks: 'keys.json' }
    const main = {
      listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:8080' }],
      authentication: { jwt: [{ ...issuer, algorithms: ['RS256'], tenantClaim: 'tenant' }] },
      mixer: { token: '0123456789abcdef-token' },
      tenantSources: [{ directory: 'tenants.d' }, { file: 'lines.jsonl' }],
      tenants: this.inline,
      limits: this.limits,
      quotas: this.quotas,
    }
    this.#replace(join(this.path, 'amt.yaml'), JSON.stringify(main, undefined, 1))
  }

  writeLines(tenants: readonly object[]): void {
    this.#replace(this.lines, tenants.map(tenant => `${JSON.stringify(tenant)}\n`).join(''))
  }

  writeFile(name: string, tenant: object): void {
    this.#replace(join(this.files, name), JSON.stringify(tenant))
  }

  removeFile(name: string): void {
    rmSync(join(this.files, name), { force: true })
  }

  open(): ConfigStore {
    const opened = openConfig(join(this.path, 'amt.yaml'), { env: {} })
    if ('problems' in opened) throw new Error(opened.problems.map(formatProblem).join('\n'))
    return opened.store
  }

  /** What is there now, loaded from nothing: tenants as text, or problems. */
  fresh(): { tenants?: string[]; problems?: string[] } {
    const loaded = loadConfig(join(this.path, 'amt.yaml'), { env: {} })
    if ('problems' in loaded) return { problems: loaded.problems.map(formatProblem) }
    return { tenants: loaded.config.tenants.map(encodeTenant).toSorted() }
  }

  /** Files that have just been written are always read again; these are old. */
  #replace(path: string, text: string): void {
    writeFileSync(`${path}.tmp`, text)
    this.#time += 1
    utimesSync(`${path}.tmp`, this.#time, this.#time)
    renameSync(`${path}.tmp`, path)
  }

  #time = 1_000_000_000
}

const deployment = (port = 1): object => ({ endpoints: [`http://127.0.0.1:${port}`] })

function touch(path: string, scope: 'all' | string[] = 'all'): Touched {
  const touched = new Touched()
  touched.add(path, scope === 'all' ? 'all' : new Set(scope))
  return touched
}

function differenceOf(change: ReturnType<ConfigStore['reload']>): TenantDifference {
  if ('problems' in change) throw new Error(change.problems.map(formatProblem).join('\n'))
  return change.tenants
}

/** A worker, as far as its tenants go. */
class Mirror {
  readonly texts = new Map<string, string>()

  take({ changed, removed }: TenantDifference): void {
    for (const id of removed) {
      if (!this.texts.delete(id)) throw new Error(`${id} was removed and not there`)
    }
    for (const text of changed) this.texts.set(idInText(text), text)
  }

  all(): string[] {
    return [...this.texts.values()].toSorted()
  }
}

/** A tenant out of few possibilities, so that two of them often claim the same, and now and then an invalid one. */
function anyTenant(random: SeededRandom): object {
  const id = `t${random.below(25)}`
  if (random.chance(0.02)) return { id, deployment: deployment(), surprise: 1 }
  const maybe = (probability: number, fields: () => object): object =>
    random.chance(probability) ? fields() : {}
  return {
    id,
    deployment: {
      ...deployment(random.between(1, 3)),
      ...maybe(0.15, () => ({
        identity: {
          address: [`10.${random.below(8)}.${random.below(4)}.0/${random.pick([16, 24, 23])}`],
        },
      })),
    },
    ...maybe(0.3, () => ({ address: `10.9.0.${random.below(60)}` })),
    ...maybe(0.3, () => ({ hosts: [`h${random.below(60)}.example.com`] })),
    ...maybe(0.2, () => ({
      credentials: [
        random.pick<object>([
          { apiKey: `sha256:${String(random.below(40)).padStart(64, '0')}` },
          { jwt: { issuer: 'https://login', claims: { tenant: `t${random.below(120)}` } } },
          { jwt: { issuer: 'https://login', claims: { org: `o${random.below(40)}` } } },
        ]),
      ],
    })),
  }
}

/** One change to the folder, as somebody might make it. Gives what a watcher would say of it. */
class Editor {
  readonly #folder: Folder
  readonly #random: SeededRandom
  #lines: object[] = []
  readonly #names: string[] = ['a.yaml', 'b.yaml', 'c.yml', 'd.yaml', 'e.yaml']

  constructor(folder: Folder, random: SeededRandom) {
    this.#folder = folder
    this.#random = random
  }

  edit(): Touched | undefined {
    const random = this.#random
    const kind = random.below(10)
    if (kind < 5) {
      this.#editLines()
      this.#folder.writeLines(this.#lines)
      return touch(this.#folder.lines)
    }
    if (kind < 9) {
      const name = random.pick(this.#names)
      if (random.chance(0.4)) this.#folder.removeFile(name)
      else this.#folder.writeFile(name, anyTenant(random))
      return touch(this.#folder.files, [name])
    }
    this.#folder.inline = Array.from({ length: random.below(3) }, () => anyTenant(random))
    if (random.chance(0.3)) this.#folder.limits = { concurrency: random.between(1, 9) }
    if (random.chance(0.2)) {
      const quota = { name: 'q', of: 'calls', amount: random.between(1, 9), per: 'day' }
      this.#folder.quotas = random.chance(0.5) ? [] : [quota]
    }
    this.#folder.writeMain()
    return undefined
  }

  /** Back to something that clashes with nothing, so that the next steps are not all refused. */
  calm(): undefined {
    this.#lines = []
    this.#folder.inline = []
    for (const name of this.#names) this.#folder.removeFile(name)
    this.#folder.writeLines([])
    this.#folder.writeMain()
  }

  #editLines(): void {
    const random = this.#random
    for (let edits = random.between(1, 3); edits > 0; edits -= 1) {
      const at = random.below(this.#lines.length + 1)
      const kind = random.below(4)
      if (kind === 0) this.#lines.splice(at, 1)
      else if (kind === 1) this.#lines.splice(at, 1, anyTenant(random))
      else if (kind === 2) this.#lines.splice(at, 0, anyTenant(random))
      else this.#lines.push(...this.#lines.splice(0, at))
    }
  }
}

await test('a change finds what loading everything finds, and workers get to the same tenants', async t => {
  const seed = Number(process.env.CONFIG_SEED ?? Date.now() % 2 ** 32)
  t.comment(`CONFIG_SEED=${seed}`)
  const random = new SeededRandom(seed)
  const folder = new Folder(t)
  const editor = new Editor(folder, random)
  const store = folder.open()
  const worker = new Mirror()
  const counts = { taken: 0, refused: 0, undone: 0 }
  let mainWaits = false
  for (let step = 0, refused = 0; step < STEPS; step += 1) {
    const touched = refused > 4 ? editor.calm() : editor.edit()
    // Of the main file a watcher knows nothing: it takes somebody who asks.
    mainWaits ||= touched === undefined
    const change = store.reload(mainWaits ? undefined : touched)
    const fresh = folder.fresh()
    const context = `step ${step} of CONFIG_SEED=${seed}`
    if ('problems' in change) {
      refused += 1
      counts.refused += 1
      if (
        fresh.problems === undefined ||
        !sameProblems(change.problems.map(formatProblem), fresh.problems)
      )
        t.same(change.problems.map(formatProblem), fresh.problems, context)
    } else {
      refused = 0
      counts.taken += 1
      if (fresh.tenants === undefined)
        t.fail(`${context}: not refused: ${fresh.problems?.join('\n')}`)
      const before = worker.all()
      worker.take(change.tenants)
      if (random.chance(0.1)) {
        counts.undone += 1
        worker.take(change.undo())
        t.same(worker.all(), before, `undone, ${context}`)
        worker.take(differenceOf(store.reload(mainWaits ? undefined : new Touched())))
      }
      mainWaits = false
      if (JSON.stringify(worker.all()) !== JSON.stringify(fresh.tenants))
        t.same(worker.all(), fresh.tenants, context)
      if (JSON.stringify([...store.texts()].toSorted()) !== JSON.stringify(fresh.tenants))
        t.same([...store.texts()].toSorted(), fresh.tenants, context)
    }
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.taken > 20 && counts.refused > 20, JSON.stringify(counts))
})

/** Of more than two that claim the same, the one that is compared with may be another: the same claims are contested. */
function sameProblems(one: readonly string[], other: readonly string[]): boolean {
  if (JSON.stringify(one.toSorted()) === JSON.stringify(other.toSorted())) return true
  const isContest = (text: string): boolean => / claimed by | is also at /.test(text)
  const places = (list: readonly string[]): string =>
    JSON.stringify(list.filter(each => !isContest(each)).toSorted())
  return places(one) === places(other) && one.some(isContest) && other.some(isContest)
}

await test('one changed line of many is the one that is read', async t => {
  const folder = new Folder(t)
  const tenants = Array.from({ length: 500 }, (_, index) => ({
    id: `t${index}`,
    deployment: deployment(),
  }))
  folder.writeLines(tenants)
  const store = folder.open()
  const cases: [string, object[], TenantDifference][] = []
  const at = (index: number, next: (typeof tenants)[number]): object[] =>
    tenants.toSpliced(index, 1, next)
  for (const index of [0, 250, 499]) {
    const next = { id: `t${index}`, deployment: deployment(9) }
    const text = JSON.stringify(next)
    cases.push([`line ${index} changed`, at(index, next), { changed: [text], removed: [] }])
    const back = JSON.stringify(tenants[index])
    cases.push([`line ${index} back`, tenants, { changed: [back], removed: [] }])
    cases.push([
      `line ${index} gone`,
      tenants.toSpliced(index, 1),
      { changed: [], removed: [`t${index}`] },
    ])
    cases.push([`line ${index} there again`, tenants, { changed: [back], removed: [] }])
  }
  cases.push(['all in another order', tenants.toReversed(), { changed: [], removed: [] }])
  cases.push(['nothing', [], { changed: [], removed: tenants.map(({ id }) => id) }])
  for (const [name, lines, wanted] of cases) {
    folder.writeLines(lines)
    const found = differenceOf(store.reload(touch(folder.lines)))
    t.same(
      { ...found, removed: found.removed.toSorted() },
      { ...wanted, removed: wanted.removed.toSorted() },
      name,
    )
  }
})

await test('sources that are no longer as they were read are named, and nothing else happens', async t => {
  const folder = new Folder(t)
  const one = { id: 'one', deployment: deployment() }
  folder.writeLines([one])
  folder.writeFile('two.yaml', { id: 'two', deployment: deployment() })
  t.same(folder.open().outdated(), [folder.files], 'of what is so new it cannot be said')
  // Nothing tells when a file is old enough but the time.
  await new Promise(resolve => setTimeout(resolve, 60))
  const store = folder.open()
  t.same(store.outdated(), [])
  t.same(store.outdated(), [], 'asked again')
  folder.writeLines([one, { id: 'three', deployment: deployment() }])
  t.same(store.outdated(), [folder.lines])
  t.equal(store.size, 2)
  t.match(differenceOf(store.reload(touch(folder.lines))), { removed: [] })
  t.same([store.size, store.outdated()], [3, []])
  folder.removeFile('two.yaml')
  t.same(store.outdated(), [folder.files])
  folder.writeFile('two.yaml', { id: 'two', deployment: deployment(9) })
  t.same(store.outdated(), [folder.files])
  rmSync(folder.lines)
  t.same(store.outdated(), [folder.files, folder.lines])
})

await test('an incremental duplicate names both tenants and both places, and changes nothing', async t => {
  const folder = new Folder(t)
  folder.writeLines([
    { id: 'a', hosts: ['a.example.com'], deployment: deployment() },
    { id: 'b', hosts: ['b.example.com'], deployment: deployment() },
  ])
  const store = folder.open()
  const before = [...store.texts()]
  folder.writeFile('c.yaml', { id: 'c', hosts: ['b.example.com'], deployment: deployment() })
  const change = store.reload(touch(folder.files, ['c.yaml']))
  const [problem] = 'problems' in change ? change.problems.map(formatProblem) : []
  // The file stands before the lines in the configuration.
  t.match(
    problem,
    /lines\.jsonl:2:20: hosts\[0\]: the host b\.example\.com is claimed by the tenants c and b; it stands also at hosts\[0\] \(.*tenants\.d\/c\.yaml:1\)/,
  )
  t.same([...store.texts()], before)
  folder.writeLines([{ id: 'a', hosts: ['a.example.com'], deployment: deployment() }])
  const next = differenceOf(store.reload(touch(folder.lines)))
  t.same(next.removed, ['b'])
  t.same(
    next.changed.map(idInText),
    ['c'],
    'what waited is taken together with what makes it right',
  )
})

await test('a file that took something from elsewhere is read again when that has changed', async t => {
  const folder = new Folder(t)
  const secret = join(folder.path, 'host')
  writeFileSync(secret, 'one.example.com\n')
  utimesSync(secret, 1, 1)
  folder.writeFile('a.yaml', { id: 'a', hosts: ['${file:../host}'], deployment: deployment() })
  folder.writeLines([{ id: 'b', hosts: ['www.${file:host}'], deployment: deployment() }])
  const store = folder.open()
  writeFileSync(secret, 'two.example.com\n')
  utimesSync(secret, 2, 2)
  const { changed } = differenceOf(store.reload())
  t.same(changed.map(text => decodeTenant(text).hosts.join()).toSorted(), [
    'two.example.com',
    'www.two.example.com',
  ])
})

await test('a line knows what it took from elsewhere, whatever becomes of the lines around it', async t => {
  const folder = new Folder(t)
  const secret = join(folder.path, 'host')
  let time = 0
  const write = (name: string): void => {
    time += 1
    writeFileSync(secret, `${name}.example.com\n`)
    utimesSync(secret, time, time)
  }
  const lines = (port: number): object[] =>
    ['a', 'b', 'c'].map(id => ({
      id,
      ...(id === 'b' ? { hosts: ['${file:host}'] } : {}),
      deployment: deployment(id === 'b' ? 1 : port),
    }))
  const hostsOf = ({ changed }: TenantDifference): string[] =>
    changed.map(text => decodeTenant(text)).flatMap(({ id, hosts }) => [id, ...hosts])
  write('one')
  folder.writeLines(lines(1))
  const store = folder.open()
  write('two')
  const change = store.reload()
  t.same(hostsOf(differenceOf(change)), ['b', 'two.example.com'])
  if ('problems' in change) return
  t.same(hostsOf(change.undo()), ['b', 'one.example.com'])
  t.same(hostsOf(differenceOf(store.reload())), ['b', 'two.example.com'], 'after it was undone')
  folder.writeLines([{ id: 'z', deployment: deployment() }, ...lines(2)])
  t.same(hostsOf(differenceOf(store.reload())), ['z', 'a', 'c'], 'around it')
  write('three')
  t.same(hostsOf(differenceOf(store.reload())), ['b', 'three.example.com'])
  folder.writeLines([])
  store.reload()
  write('four')
  t.same(differenceOf(store.reload()), { changed: [], removed: [] }, 'gone')
})

await test('what has not changed is not read', async t => {
  const folder = new Folder(t)
  folder.writeFile('a.yaml', { id: 'a', deployment: deployment() })
  const store = folder.open()
  const path = join(folder.files, 'a.yaml')
  const { atimeMs, mtimeMs } = statSync(path)
  // The same length, time and place: nobody could know.
  writeFileSync(path, JSON.stringify({ id: 'b', deployment: deployment() }))
  utimesSync(path, atimeMs / 1_000, mtimeMs / 1_000)
  await new Promise(resolve => setTimeout(resolve, 60))
  store.reload(touch(folder.files, ['none.yaml']))
  t.same([...store.ids()], ['a'])
  t.same(
    differenceOf(store.reload(touch(folder.files, ['a.yaml']))).removed,
    ['a'],
    'what a watcher names is',
  )
})

await test('values nested without end are refused, on a line as anywhere', async t => {
  const folder = new Folder(t)
  const deep = `{"id":"a","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
  writeFileSync(folder.lines, deep)
  t.match(folder.fresh().problems, [/lines\.jsonl:1:1: is nested too deeply/])
})

await test('a fault of our own in the middle of reading leaves everything as it was', async t => {
  const folder = new Folder(t)
  folder.writeLines([{ id: 'a', deployment: deployment() }])
  folder.writeFile('b.yaml', { id: 'b', deployment: deployment() })
  const store = folder.open()
  const before = [...store.texts()]
  folder.writeFile('b.yaml', { id: 'b', deployment: deployment(2) })
  folder.writeFile('c.yaml', { id: 'c', deployment: deployment(2) })
  folder.writeLines([{ id: 'd', deployment: deployment(2) }])
  const slice = Buffer.prototype.toString
  Buffer.prototype.toString = function (...given: Parameters<typeof slice>) {
    const text = slice.apply(this, given)
    if (text.includes('"d"')) throw new RangeError('there is no memory left')
    return text
  }
  t.throws(() => store.reload(), /no memory left/)
  Buffer.prototype.toString = slice
  t.same([...store.texts()], before)
  const { changed, removed } = differenceOf(store.reload())
  t.same(changed.map(idInText).toSorted(), ['b', 'c', 'd'])
  t.same(removed, ['a'])
})
