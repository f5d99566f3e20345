import { element } from './elements.js'
import { isLinked, readSetting, readStrategy, writeWidget } from './settings.js'

const decimals = (step) => (String(step).split('.')[1] ?? '').length

/** A control of one widget: shows its value, writes it back. `changed` is called after the user moved it. */
function control(node, setting, changed) {
  const write = (value) => {
    writeWidget(node, setting.widget, value)
    changed()
  }
  const title = setting.tooltip ?? ''
  const label = setting.name.replaceAll('_', ' ')
  const attributes = { 'aria-label': label }
  let input
  let shown = null
  let update
  if (setting.kind === 'choice') {
    input = element('select', { title, attributes }, ...setting.choices.map((name) => new Option(name, name)))
    input.addEventListener('change', () => write(input.value))
    update = (value) => (input.value = value)
  } else if (setting.kind === 'bool') {
    input = element('input', { type: 'checkbox', title, attributes })
    input.addEventListener('change', () => write(input.checked))
    update = (value) => (input.checked = value)
  } else if (setting.kind === 'str') {
    input = element('input', { type: 'text', title, attributes })
    input.addEventListener('change', () => write(input.value))
    update = (value) => (input.value = value)
  } else {
    const { min, max } = setting
    const step = setting.step ?? (setting.kind === 'int' ? 1 : 0.01)
    input = element('input', { type: min == null || max == null ? 'number' : 'range', title, attributes })
    Object.assign(input, { min: min ?? '', max: max ?? '', step })
    shown = element('output')
    input.addEventListener('input', () => write(Number(input.value)))
    update = (value) => {
      input.value = value
      shown.value = Number(value).toFixed(decimals(step))
    }
  }
  const row = element('label', { className: 'reenact-setting', title }, element('span', {}, label), input)
  if (shown) row.append(shown)
  return {
    row,
    refresh(used) {
      input.disabled = isLinked(node, setting.widget)
      update(readSetting(node, setting, used))
    },
  }
}

/** The strategy, its parameters and smoothing over time, as the server describes them. */
export class Controls {
  #strategy = null
  #settings = []
  #used = {} // what the last run used, which counts where another node feeds a widget

  constructor(node, choices, changed) {
    this.node = node
    this.choices = choices
    this.changed = changed
    const names = choices.strategies.map((strategy) => strategy.name)
    this.picker = control(node, { name: 'strategy', widget: choices.widget, kind: 'choice', choices: names }, () =>
      this.#chosen(),
    )
    this.beside = choices.beside.map((setting) => control(node, setting, changed))
    this.space = control(node, choices.space, changed)
    this.own = element('div', { className: 'reenact-own' })
    const rows = [this.picker.row, this.own, ...this.beside.map((setting) => setting.row), this.space.row]
    this.element = element('div', { className: 'reenact-settings' }, ...rows)
    this.refresh()
  }

  #chosen() {
    this.refresh()
    this.changed()
  }

  /** Show what the node's widgets say now. */
  refresh() {
    const name = readStrategy(this.node, this.choices, this.#used)
    if (name !== this.#strategy) {
      this.#strategy = name
      const known = this.choices.strategies.find((strategy) => strategy.name === name)
      this.#settings = (known?.settings ?? []).map((setting) => control(this.node, setting, this.changed))
      this.own.replaceChildren(...this.#settings.map((setting) => setting.row))
      this.picker.row.title = known?.summary ?? ''
    }
    for (const part of [this.picker, ...this.beside, this.space, ...this.#settings]) part.refresh(this.#used)
  }

  /** Take over what a run used, by the widgets' names. */
  use(used) {
    this.#used = used
    this.refresh()
  }

  /** Offer where to fuse only to models that have a choice. */
  offerSpaces(offered) {
    this.space.row.style.display = offered ? '' : 'none'
  }
}
