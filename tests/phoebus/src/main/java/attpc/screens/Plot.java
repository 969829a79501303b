package attpc.screens;

import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.List;
import org.csstudio.trends.databrowser3.model.Model;
import org.csstudio.trends.databrowser3.model.ModelItem;
import org.csstudio.trends.databrowser3.model.PlotSamples;
import org.csstudio.trends.databrowser3.persistence.XMLPersistence;

/** A plot of the Data Browser: PV, name and axis of each line, when each has a sample. */
final class Plot implements FileReader {
    @Override
    public List<String> read(final File file) throws Exception {
        final Model model = new Model();
        try (InputStream stream = new FileInputStream(file)) {
            XMLPersistence.load(model, stream);
        }
        model.start();
        try {
            Jfx.until("not every line had a sample", () -> {
                model.updateItemsAndCheckForNewSamples();
                return model.getItems().stream().allMatch(Plot::hasSample) ? true : null;
            });
            return model.getItems().stream().map(Plot::line).toList();
        } finally {
            model.stop();
            model.dispose();
        }
    }

    private static boolean hasSample(final ModelItem item) {
        final PlotSamples samples = item.getSamples();
        samples.getLock().lock();
        try {
            return samples.size() > 0;
        } finally {
            samples.getLock().unlock();
        }
    }

    private static String line(final ModelItem item) {
        return String.join("\t", item.getName(), item.getDisplayName(), item.getAxis().getName());
    }
}
