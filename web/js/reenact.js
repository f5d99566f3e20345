import { app } from '../../../scripts/app.js'

// A node with a VIDEO input is taken for one that shows a video; these show pictures.
const SHOWS_PICTURES = new Set(['ReenactLoadReferences', 'ReenactEncodeMotion'])

app.registerExtension({
  name: 'reenact.previews',
  nodeCreated(node) {
    if (SHOWS_PICTURES.has(node.comfyClass)) node.previewMediaType = 'image'
  },
})
