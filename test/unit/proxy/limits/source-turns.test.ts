import { test } from 'tap'
import { SourceTurns, type WaitingTurn } from '../../../../src/proxy/limits/source-turns.ts'
import type { Source } from '../../../../src/proxy/limits/sources.ts'

/** A worker whose turns the test makes. */
class Lab {
  readonly begun: string[] = []
  readonly turns: SourceTurns
  #next: (() => void) | undefined

  constructor() {
    this.turns = new SourceTurns(run => {
      this.#next = run
    })
  }

  join(name: string, source: Source | undefined): WaitingTurn {
    const handshake = { source, turnCame: () => this.begun.push(name) }
    this.turns.join(handshake)
    return handshake
  }

  /** False where nobody has asked for a turn. */
  turn(): boolean {
    const next = this.#next
    this.#next = undefined
    next?.()
    return next !== undefined
  }
}

const sourceOf = (name: string): Source => ({ name }) as Source

await test('one handshake begins in a turn, and the first does not wait for another one', t => {
  const lab = new Lab()
  const source = sourceOf('a')
  for (const name of ['a1', 'a2', 'a3']) lab.join(name, source)
  t.same(lab.begun, [], 'behind what the turn has to send')
  lab.turn()
  t.same(lab.begun, ['a1'])
  lab.turn()
  lab.turn()
  t.same(lab.begun, ['a1', 'a2', 'a3'])
  t.notOk(lab.turn(), 'nobody waits, and no turn is asked for')
  t.end()
})

await test('of a flood from one source another one waits for the next handshake alone', t => {
  const lab = new Lab()
  const flood = sourceOf('flood')
  const quiet = sourceOf('quiet')
  for (let index = 0; index < 500; index += 1) lab.join('flood', flood)
  lab.turn()
  lab.join('quiet', quiet)
  lab.join('trusted', undefined)
  for (let turn = 0; turn < 3; turn += 1) lab.turn()
  t.same(lab.begun, ['flood', 'flood', 'quiet', 'trusted'])
  t.end()
})

await test('who leaves is not begun, and leaves no empty turn behind', t => {
  const lab = new Lab()
  const source = sourceOf('a')
  const first = lab.join('a1', source)
  const second = lab.join('a2', source)
  lab.turns.leave(first)
  lab.turns.leave(first)
  lab.turns.leave(second)
  lab.turn()
  t.same(lab.begun, [])
  lab.join('a3', source)
  lab.turn()
  t.same(lab.begun, ['a3'])
  t.notOk(lab.turn())
  t.end()
})

await test('a handshake that begins may bring others', t => {
  const lab = new Lab()
  const source = sourceOf('a')
  lab.turns.join({ source, turnCame: () => lab.join('next', source) })
  lab.turn()
  t.same(lab.begun, [])
  lab.turn()
  t.same(lab.begun, ['next'])
  t.end()
})
