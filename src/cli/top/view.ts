/** What the person at the terminal has chosen, and what each key makes of it. */
import { MAX_TOP_FILTER, MAX_TOP_TENANTS, type TopKey } from '../../contracts/top.ts'

export interface View {
  readonly by: TopKey
  readonly filter: string
  /** What is being typed as the next filter; undefined where nothing is. */
  readonly typing: string | undefined
  readonly paused: boolean
  readonly help: boolean
  /** Tenants above the first that is shown. */
  readonly offset: number
}

export type Effect = 'quit' | 'suspend' | 'ask' | 'draw' | 'none'

export interface Step {
  readonly view: View
  readonly effect: Effect
}

export const SORT_KEYS: Readonly<Record<string, TopKey>> = {
  c: 'calls',
  e: 'errors',
  l: 'limited',
  b: 'bytes',
  i: 'ingress',
  o: 'egress',
  n: 'connections',
  m: 'time',
  t: 'tenant',
}

const CTRL_C = '\x03'
const CTRL_D = '\x04'
const CTRL_L = '\x0c'
const CTRL_U = '\x15'
const CTRL_Z = '\x1a'
const ESCAPE = '\x1b'
const BACKSPACE = new Set(['\x7f', '\b'])
const ENTER = new Set(['\r', '\n'])

/** An escape sequence is one key; one that we do not know does nothing. */
const KEY = new RegExp(`${ESCAPE}\\[[0-9;]*[A-Za-z~]|${ESCAPE}O[A-Za-z]|[^]`, 'g')

/** Lines that a key scrolls by; a page is what the screen shows. */
const SCROLL: Readonly<Record<string, (page: number) => number>> = {
  '\x1b[A': () => -1,
  '\x1bOA': () => -1,
  '\x1b[B': () => 1,
  '\x1bOB': () => 1,
  k: () => -1,
  j: () => 1,
  '\x1b[5~': page => -page,
  '\x1b[6~': page => page,
  '\x1b[H': () => -Infinity,
  '\x1b[1~': () => -Infinity,
  g: () => -Infinity,
}

export function firstView(by: TopKey, filter: string): View {
  return { by, filter, typing: undefined, paused: false, help: false, offset: 0 }
}

/** One chunk of input may hold several keys: a paste, or a slow line. */
export function keysIn(input: string): string[] {
  return input.match(KEY) ?? []
}

/** `page`: tenants on the screen; `matching`: that there are. */
export function press(
  view: View,
  key: string,
  { page, matching }: { readonly page: number; readonly matching: number },
): Step {
  if (key === CTRL_C || key === CTRL_D) return { view, effect: 'quit' }
  if (key === CTRL_Z) return { view, effect: 'suspend' }
  if (key === CTRL_L) return { view, effect: 'draw' }
  if (view.typing !== undefined) return typed(view, view.typing, key)
  const by = SORT_KEYS[key]
  if (by !== undefined) return { view: { ...view, by, offset: 0, help: false }, effect: 'ask' }
  const scroll = SCROLL[key]
  if (scroll !== undefined) {
    const last = Math.max(0, Math.min(matching, MAX_TOP_TENANTS) - page)
    const offset = Math.min(Math.max(0, view.offset + scroll(page)), last)
    return { view: { ...view, offset }, effect: 'ask' }
  }
  return command(view, key)
}

function command(view: View, key: string): Step {
  switch (key) {
    case 'q':
      return { view, effect: 'quit' }
    case '/':
      return { view: { ...view, typing: '', help: false }, effect: 'draw' }
    case ' ':
      return { view: { ...view, paused: !view.paused }, effect: view.paused ? 'ask' : 'draw' }
    case 'h':
    case '?':
      return { view: { ...view, help: !view.help }, effect: 'draw' }
    case ESCAPE:
      // From what is most in the way back to all tenants.
      if (view.help) return { view: { ...view, help: false }, effect: 'draw' }
      return { view: { ...view, filter: '', offset: 0 }, effect: 'ask' }
    default:
      return { view, effect: 'none' }
  }
}

function typed(view: View, typing: string, key: string): Step {
  if (key === ESCAPE) return { view: { ...view, typing: undefined }, effect: 'draw' }
  if (ENTER.has(key))
    return { view: { ...view, filter: typing, typing: undefined, offset: 0 }, effect: 'ask' }
  if (key === CTRL_U) return { view: { ...view, typing: '' }, effect: 'draw' }
  if (BACKSPACE.has(key)) return { view: { ...view, typing: typing.slice(0, -1) }, effect: 'draw' }
  // Ids have nothing else in them.
  if (!/^[a-z0-9-]$/.test(key) || typing.length >= MAX_TOP_FILTER) return { view, effect: 'none' }
  return { view: { ...view, typing: typing + key }, effect: 'draw' }
}
