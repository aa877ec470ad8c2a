/** Who gets a turn, and who has to wait. */
import { test } from 'tap'
import { FairTurns } from '../../../../src/runtime/names/fair-turns.ts'

const SLOW_MS = 1_000

class World {
  ms = 0
  readonly begun: string[] = []
  readonly #ends = new Map<string, () => void>()
  readonly turns: FairTurns

  constructor(places: number, each: number) {
    this.turns = new FairTurns({ places, each, slowMs: SLOW_MS, now: () => this.ms })
  }

  /** Asks for a turn; it ends with `end`. `name` begins with its owner: `a1`. */
  async ask(name: string): Promise<void> {
    void this.turns.take(name.charAt(0), () => {
      this.begun.push(name)
      return new Promise<void>(resolve => this.#ends.set(name, resolve))
    })
    await settled()
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.()
    await settled()
  }
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

await test('so many turns at once, of each owner and of all', async t => {
  const world = new World(3, 2)
  for (const name of ['a1', 'a2', 'a3', 'b1', 'c1']) await world.ask(name)
  t.same(world.begun, ['a1', 'a2', 'b1'])
  await world.end('a1')
  t.same(world.begun, ['a1', 'a2', 'b1', 'c1'], 'others first')
  await world.end('b1')
  t.same(world.begun, ['a1', 'a2', 'b1', 'c1', 'a3'])
})

await test('owners come one after the other, however many turns one waits for', async t => {
  const world = new World(1, 1)
  for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) await world.ask(name)
  for (const name of ['a1', 'b1', 'c1', 'a2', 'b2']) await world.end(name)
  t.same(world.begun, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
})

await test('whose turns take long never have all places', async t => {
  const world = new World(2, 1)
  await world.ask('a1')
  world.ms += SLOW_MS + 1
  // `a` is slow by now; `b` turns out to be.
  await world.ask('b1')
  world.ms += SLOW_MS + 1
  await world.end('b1')
  for (const name of ['a2', 'b2', 'c1']) await world.ask(name)
  t.same(world.begun, ['a1', 'b1', 'c1'], 'the place is free for who is quick')
  await world.end('c1')
  await world.ask('d1')
  t.same(world.begun, ['a1', 'b1', 'c1', 'd1'])
  await world.end('a1')
  t.same(
    world.begun,
    ['a1', 'b1', 'c1', 'd1', 'b2'],
    'slow ones have their place one after the other',
  )
  await world.end('b2')
  await world.end('d1')
  t.same(world.begun.at(-1), 'a2')
  await world.end('a2')
  await world.ask('a3')
  await world.ask('a4')
  await world.end('a3')
  t.same(world.begun.slice(-2), ['a3', 'a4'], 'a quick turn makes up for it')
})

await test('a turn that fails is over', async t => {
  const { turns } = new World(1, 1)
  await t.rejects(
    turns.take('a', () => Promise.reject(new Error('in vain'))),
    { message: 'in vain' },
  )
  t.equal(await turns.take('a', async () => 'done'), 'done')
})
